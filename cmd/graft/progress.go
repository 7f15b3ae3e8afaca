package main

import (
	"fmt"
	"io"
	"os"
	"sync"
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
	start    time.Time
	phase    string
	from     int // done when the phase began: resumed work has no rate
	last     time.Time
	drawn    bool
}

const (
	redrawEvery = 200 * time.Millisecond
	lineEvery   = 10 * time.Second
)

// newProgress counts in unit, such as "docs".
func newProgress(w io.Writer, unit string) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, unit: unit, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// update says that done of total (0: unknown) are through in the named phase.
func (p *progress) update(phase string, done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if phase != p.phase {
		p.finishLine()
		p.phase, p.start, p.from, p.last = phase, now, done, now
		return
	}
	every := lineEvery
	if p.terminal {
		every = redrawEvery
	}
	if done != total && now.Sub(p.last) < every {
		return
	}
	p.last = now
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
