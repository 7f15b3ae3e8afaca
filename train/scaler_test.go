//go:build !lite

package train

import (
	"bytes"
	"context"
	"math"
	"testing"

	"graft/train/torch"
)

// Loss scaling changes nothing but the steps that overflow: those are left out, and the scale is halved.
func TestLossScale(t *testing.T) {
	defer torch.Lock()() // how many threads compute is a thread's own, and rounds sums
	m := tinyModel(t)
	plain, want := scaledSteps(t, m, 0)
	scaled, got := scaledSteps(t, m, math.Ldexp(1, 127))
	skipped := 0
	for scaled[skipped].Skipped {
		skipped++
	}
	if skipped == 0 || len(plain) != 6 || len(scaled) != skipped+6 {
		t.Fatalf("%d steps, %d scaled ones of which the first %d were left out", len(plain), len(scaled), skipped)
	}
	for i, line := range plain {
		s := scaled[skipped+i]
		if s.Loss != line.Loss || s.GradNorm != line.GradNorm || s.LossScale != math.Ldexp(1, 127-skipped) {
			t.Errorf("step %d: %+v, without scale %+v", i+1, s, line)
		}
	}
	for name, w := range want {
		if !bytes.Equal(got[name], w) {
			t.Errorf("weights %q differ", name)
		}
	}
}

// scaledSteps takes steps, at first with a loss scale, until six of them changed the weights; with 0 there is none.
func scaledSteps(t *testing.T, m Model, scale float64) (lines []*StepLine, weights map[string][]byte) {
	t.Helper()
	r := newRun(m, tinyOptions(t), newRecorder().hooks)
	defer r.Close()
	for _, stage := range []func(context.Context) error{r.checkOutput, r.readData, r.compile, r.begin} {
		if err := stage(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if scale != 0 {
		r.scaler = &scaler{Scale: scale}
	}
	for r.state.Step < 6 {
		r.arithmetic.rng.Offset = uint64(1000 * r.state.Step)
		work := assemble(r.sampler, r.calendar, r.state.Next)
		line, err := r.step(work.batches)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
		if !line.Skipped {
			r.state.Step, r.state.Next = r.state.Step+1, work.after
		}
	}
	weights = map[string][]byte{}
	for _, w := range r.program.Weights() {
		raw, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		weights[w.Name] = raw
	}
	return lines, weights
}

func TestScaler(t *testing.T) {
	s := newScaler()
	for range growAfter {
		s.good()
	}
	if s.Scale != 2*firstScale {
		t.Errorf("scale %v after %d good steps", s.Scale, growAfter)
	}
	if err := s.overflow(); err != nil || s.Scale != firstScale || s.Good != 0 {
		t.Errorf("after an overflow: %+v, %v", s, err)
	}
	halvings := 0
	for ; s.overflow() == nil; halvings++ {
	}
	if halvings != 15 {
		t.Errorf("%d halvings from %d until the scale is given up, want 15", halvings, firstScale)
	}
}
