package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProgressInAFile: plain lines, seldom, and always the last one of a phase.
func TestProgressInAFile(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "docs")
	for i := range 1000 {
		p.update("documents", i+1, 1000)
	}
	p.done()
	if lines := strings.Count(out.String(), "\n"); lines != 1 || !strings.HasPrefix(out.String(), "documents: 1000 of 1000  ") {
		t.Errorf("%d lines: %s", lines, &out)
	}
}

// TestProgressRate: work done before a run was resumed has no rate.
func TestProgressRate(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "docs")
	p.update("documents", 900, 1000)
	p.start = p.start.Add(-10 * time.Second)
	p.last = p.last.Add(-lineEvery)
	p.update("documents", 950, 1000)
	if !regexp.MustCompile(`^documents: 950 of 1000  (5\.0|4\.9) docs/s  ETA 10s\n$`).MatchString(out.String()) {
		t.Errorf("%q", out.String())
	}
	p.last = p.last.Add(-lineEvery)
	p.update("documents", 960, 0)
	if !strings.Contains(out.String(), "documents: 960  ") || strings.Count(out.String(), "ETA") != 1 {
		t.Errorf("a total that is not known: %q", out.String())
	}
}

// TestProgressAfterAPause: the time in which the process stood still has no part in the rate.
func TestProgressAfterAPause(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "docs")
	p.update("documents", 100, 1000)
	p.start = p.start.Add(-time.Hour) // stopped for so long
	if err := syscall.Kill(os.Getpid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for len(p.resumed) == 0 {
		time.Sleep(time.Millisecond)
	}
	p.update("documents", 110, 1000)
	p.start = p.start.Add(-10 * time.Second)
	p.last = p.last.Add(-lineEvery)
	p.update("documents", 160, 1000)
	if !regexp.MustCompile(`^documents: 160 of 1000  (5\.0|4\.9) docs/s  ETA 2m48s\n$`).MatchString(out.String()) {
		t.Errorf("%q", out.String())
	}
}

// TestProgressOnATerminal: one line that is redrawn, ended before anything else is said.
func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &progress{w: &out, unit: "docs", terminal: true}
	p.update("queries", 1, 3)
	p.update("queries", 3, 3)
	p.update("documents", 1, 3)
	p.update("documents", 3, 3)
	p.done()
	p.done()
	if got := out.String(); strings.Count(got, "\r\x1b[K") != 2 || strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, "\n") {
		t.Errorf("%q", got)
	}
}
