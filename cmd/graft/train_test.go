package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"graft/train"
)

// TestTrainProgressInAFile: the steps that --logging-steps names, and the last one, in lines of their own.
func TestTrainProgressInAFile(t *testing.T) {
	var out bytes.Buffer
	p := newTrainProgress(&out)
	for range 5 {
		p.update(train.Progress{Note: "tokenizing"})
	}
	p.update(train.Progress{Steps: 30, Note: "the objective"})
	for step := 1; step <= 30; step++ {
		p.update(train.Progress{
			Step: step, Steps: 30, Epoch: float64(step) / 10, Loss: 1.5, LearningRate: 2e-5, TokensPerSecond: 1234,
			Resident: 300 << 20, Left: time.Duration(30-step) * time.Second, Log: step%10 == 0,
		})
	}
	p.done()
	want := `graft: the objective
step 10 of 30  epoch 1.00  loss 1.5000  rate 2.00e-05  1234 tokens/s  300 MB  ETA 20s
step 20 of 30  epoch 2.00  loss 1.5000  rate 2.00e-05  1234 tokens/s  300 MB  ETA 10s
step 30 of 30  epoch 3.00  loss 1.5000  rate 2.00e-05  1234 tokens/s  300 MB
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", &out, want)
	}
}

// TestTrainProgressOnATerminal: one line that is redrawn, ended before a note.
func TestTrainProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &trainProgress{w: &out, terminal: true}
	p.update(train.Progress{Step: 1, Steps: 2})
	p.update(train.Progress{Step: 1, Steps: 2, Note: "saved checkpoint-1"})
	p.update(train.Progress{Step: 2, Steps: 2})
	p.done()
	p.done()
	got := out.String()
	if strings.Count(got, "\r\x1b[K[") != 2 || strings.Count(got, "\n") != 3 || !strings.Contains(got, "\ngraft: saved checkpoint-1\n") {
		t.Errorf("%q", got)
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		done, total, want int
	}{{0, 0, 0}, {0, 4, 0}, {1, 4, 5}, {4, 4, 20}, {9, 4, 20}} {
		if got := bar(test.done, test.total); len(got) != barWidth+2 || strings.Count(got, "=") != test.want {
			t.Errorf("%d of %d: %q", test.done, test.total, got)
		}
	}
}
