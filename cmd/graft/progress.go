package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// progress shows how far long work is: one line that is redrawn on a terminal, a plain line
// every few seconds elsewhere.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	unit     string
	phase    string
	start    time.Time // since when the rate is taken
	from     int       // done at that time: work of an earlier process has no rate
	resumed  chan os.Signal
	last     time.Time // of a line
	shown    int       // done by it
	drawn    bool
}

const (
	redrawEvery = 200 * time.Millisecond
	lineEvery   = 10 * time.Second
)

// newProgress counts in unit, such as "docs". Where the process was stopped and goes on, the rate
// is taken anew, so that a pause is not counted. (While the machine sleeps, the clock stands too.)
func newProgress(w io.Writer, unit string) *progress {
	f, ok := w.(*os.File)
	p := &progress{w: w, unit: unit, terminal: ok && term.IsTerminal(int(f.Fd())), resumed: make(chan os.Signal, 1)}
	signal.Notify(p.resumed, syscall.SIGCONT)
	return p
}

// update says that done of total (0: unknown) are through in the named phase.
func (p *progress) update(phase string, done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if phase != p.phase {
		p.finishLine()
		p.phase, p.start, p.from, p.last, p.shown = phase, now, done, now, done
		return
	}
	select {
	case <-p.resumed:
		p.start, p.from = now, done
	default:
	}
	every := lineEvery
	if p.terminal {
		every = redrawEvery
	}
	if done == p.shown || done != total && now.Sub(p.last) < every {
		return
	}
	p.last, p.shown = now, done
	line := fmt.Sprintf("%s: %d", phase, done)
	if total > 0 {
		line = fmt.Sprintf("%s: %d of %d", phase, done, total)
	}
	if seconds := now.Sub(p.start).Seconds(); seconds > 0 && done > p.from {
		rate := float64(done-p.from) / seconds
		line += fmt.Sprintf("  %.1f %s/s", rate, p.unit)
		if total > done {
			eta := time.Duration(float64(total-done) / rate * float64(time.Second))
			line += "  ETA " + eta.Round(time.Second).String()
		}
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.drawn = true
	} else {
		fmt.Fprintln(p.w, line)
	}
}

// done ends the line that is being redrawn.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finishLine()
}

func (p *progress) finishLine() {
	if p.drawn {
		fmt.Fprintln(p.w)
		p.drawn = false
	}
}
