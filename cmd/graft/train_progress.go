package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"graft/train"
)

// trainProgress shows the state of a run: on a terminal a bar that is redrawn, elsewhere a line at the steps that
// --logging-steps names, and at least every lineEvery. Notes have lines of their own.
type trainProgress struct {
	w        io.Writer
	terminal bool
	last     time.Time
	drawn    bool
}

func newTrainProgress(w io.Writer) *trainProgress {
	f, ok := w.(*os.File)
	return &trainProgress{w: w, terminal: ok && term.IsTerminal(int(f.Fd())), last: time.Now()}
}

// update shows p.
func (t *trainProgress) update(p train.Progress) {
	switch {
	case p.Steps == 0: // the data is being prepared
		t.draw(p.Note, false)
	case p.Note != "":
		t.say("graft: " + p.Note)
	case p.Step > 0 && t.terminal:
		t.draw(bar(p.Step, p.Steps)+" "+describeStep(p), p.Step == p.Steps)
	case p.Step > 0:
		t.draw(describeStep(p), p.Step == p.Steps || p.Log)
	}
}

// draw shows a line that the next one replaces, where it is due or must be.
func (t *trainProgress) draw(line string, must bool) {
	every := lineEvery
	if t.terminal {
		every = redrawEvery
	}
	now := time.Now()
	if !must && now.Sub(t.last) < every {
		return
	}
	t.last = now
	if t.terminal {
		fmt.Fprintf(t.w, "\r\x1b[K%s", line)
		t.drawn = true
		return
	}
	fmt.Fprintln(t.w, line)
}

// say prints a line of its own.
func (t *trainProgress) say(line string) {
	t.done()
	fmt.Fprintln(t.w, line)
}

// done ends the line that is being redrawn.
func (t *trainProgress) done() {
	if t.drawn {
		fmt.Fprintln(t.w)
		t.drawn = false
	}
}

const barWidth = 20

// bar is a picture of how much is done.
func bar(done, total int) string {
	n := 0
	if total > 0 {
		n = min(done*barWidth/total, barWidth)
	}
	return "[" + strings.Repeat("=", n) + strings.Repeat(" ", barWidth-n) + "]"
}

// describeStep says in one line where a run stands.
func describeStep(p train.Progress) string {
	parts := []string{
		fmt.Sprintf("step %d of %d", p.Step, p.Steps),
		fmt.Sprintf("epoch %.2f", p.Epoch),
		fmt.Sprintf("loss %.4f", p.Loss),
		fmt.Sprintf("rate %.2e", p.LearningRate),
	}
	if p.TokensPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%.0f tokens/s", p.TokensPerSecond))
	}
	memory := p.Resident
	if p.DeviceMemory > 0 {
		memory = p.DeviceMemory
	}
	if memory > 0 {
		parts = append(parts, fmt.Sprintf("%.0f MB", float64(memory)/(1<<20)))
	}
	if p.Left > 0 {
		parts = append(parts, "ETA "+p.Left.Round(time.Second).String())
	}
	return strings.Join(parts, "  ")
}
