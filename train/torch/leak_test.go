//go:build !lite

package torch_test

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"graft/train/torch"
	"graft/train/torch/internal/shim"
)

// resident is the process's resident memory in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// Training steps leave the live tensors, what malloc has given out and the resident memory where they were.
func TestNoLeak(t *testing.T) {
	for _, test := range []struct {
		name     string
		steps    int
		compile  torch.CompileOptions
		autocast torch.DType
	}{
		{name: "float32", steps: 2000},
		{name: "bfloat16, recomputed", steps: 500, autocast: torch.BFloat16, compile: torch.CompileOptions{Recompute: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Each thread that computes keeps some MiB, of MKL's buffers and of malloc's own: steps stay on one.
			defer torch.Lock()()
			step := trainingStep(t, vectorModel(t, "../../testdata/models/bert", "mean", test.compile), test.autocast)
			steps := func(n int) {
				for range n {
					step()
				}
				debug.FreeOSMemory()
			}
			steps(100) // libtorch and malloc keep what the first steps need
			live, heap, memory := torch.Live(), shim.HeapInUse(), resident(t)
			steps(test.steps)
			if now := torch.Live(); now != live {
				t.Errorf("%d live tensors, were %d", now, live)
			}
			// malloc's smallest block, lost at each step, is as much.
			mostHeap := int64(test.steps * 32)
			heap, memory = shim.HeapInUse()-heap, resident(t)-memory
			if heap >= mostHeap {
				t.Errorf("%d bytes more are allocated after %d steps", heap, test.steps)
			}
			// How the system backs the heap with huge pages, and where Go's own ends, is not ours.
			const mostResident = 4 << 20
			if memory > mostResident {
				t.Errorf("resident memory grew by %d KiB in %d steps", memory>>10, test.steps)
			}
			t.Logf("%d bytes more are allocated, resident memory grew by %d KiB", heap, memory>>10)
		})
	}
}

// trainingStep makes a step of training p with dropout, from token ids to the optimizer's update.
func trainingStep(t *testing.T, p *torch.Program, autocast torch.DType) func() {
	t.Helper()
	texts, _ := trainBatch(t, checkpoint(t, "../../testdata/train/batches.safetensors"), 0)
	params, rng := tensorsOf(p), torch.RNG{Seed: 1}
	adam, err := torch.NewAdamW(params, make([]bool, len(params)), torch.AdamWOptions{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(adam.Close)
	return func() {
		s := torch.NewScope()
		defer s.Close()
		var y *torch.Tensor
		encode := func() {
			y = p.Run(s, texts.feed(s, p), torch.RunOptions{Training: true, RNG: &rng})["sentence_embedding"]
		}
		if autocast != 0 {
			s.Autocast(autocast, torch.Device{}, encode)
		} else {
			encode()
		}
		s.Backward(s.Mean(s.Square(s.To(y, torch.Float32)), false))
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		if _, err := torch.ClipGradNorm(params, 1); err != nil {
			t.Fatal(err)
		}
		if err := adam.Step(1e-5); err != nil {
			t.Fatal(err)
		}
		torch.ZeroGrads(params)
	}
}
