//go:build !lite

package torch_test

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"graft/train/torch"
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

// 2,000 steps forward and backward leave the number of live tensors and the resident memory where they were.
func TestNoLeak(t *testing.T) {
	for _, test := range []struct {
		name string
		o    torch.CompileOptions
	}{{"plain", torch.CompileOptions{}}, {"recomputed", torch.CompileOptions{Recompute: true}}} {
		t.Run(test.name, func(t *testing.T) {
			p := vectorModel(t, "../../testdata/models/bert", "mean", test.o) // with dropout
			queries, passages := trainBatch(t, checkpoint(t, "../../testdata/train/batches.safetensors"), 0)
			rng := torch.RNG{Seed: 1}
			steps := func(n int) {
				for range n {
					gradientsOf(t, p, torch.RunOptions{Training: true, RNG: &rng}, queries, passages)
				}
			}
			steps(300) // libtorch and malloc keep what the first steps need
			debug.FreeOSMemory()
			live, memory := torch.Live(), resident(t)
			steps(2000)
			debug.FreeOSMemory()
			if now := torch.Live(); now != live {
				t.Errorf("%d live tensors, were %d", now, live)
			}
			// 4 KiB a step. malloc's own growth is under half of it; the activations of one layer, or a handle
			// of each operation, would take ten times as much.
			const most = 8 << 20
			if grown := resident(t) - memory; grown > most {
				t.Errorf("resident memory grew by %d KiB in 2000 steps", grown>>10)
			} else {
				t.Logf("resident memory grew by %d KiB in 2000 steps", grown>>10)
			}
		})
	}
}
