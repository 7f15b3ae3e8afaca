//go:build !lite

package torch_test

import (
	"maps"
	"math"
	"slices"
	"testing"

	"graft/graph"
	"graft/train/torch"
)

// Blocks that the backward pass computes again give the very gradients, with dropout on, and the randomness goes on from
// the same place.
func TestRecomputeEqualsPlain(t *testing.T) {
	for _, test := range []struct {
		name, dir, pooling string
		drops              bool
	}{
		{"bert with dropout", "../../testdata/models/bert", "mean", true},
		{"llama", "../../testdata/train/llama/init", "last", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			queries, passages := trainBatch(t, checkpoint(t, "../../testdata/train/batches.safetensors"), 0)
			train := func(recompute bool) (float64, map[string][]float32, torch.RNG) {
				rng := torch.RNG{Seed: 7}
				p := vectorModel(t, test.dir, test.pooling, torch.CompileOptions{Recompute: recompute})
				loss, grads := gradientsOf(t, p, torch.RunOptions{Training: true, RNG: &rng}, queries, passages)
				return loss, grads, rng
			}
			loss, grads, rng := train(false)
			loss2, grads2, rng2 := train(true)
			if loss != loss2 || rng != rng2 || test.drops == (rng.Offset == 0) {
				t.Errorf("loss %v and randomness %v, recomputed %v and %v", loss, rng, loss2, rng2)
			}
			compareExactly(t, grads2, grads)
		})
	}
}

func compareExactly(t *testing.T, got, want map[string][]float32) {
	t.Helper()
	if len(want) == 0 || len(got) != len(want) {
		t.Errorf("%d gradients, want %d", len(got), len(want))
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		for i, w := range want[name] {
			if len(got[name]) != len(want[name]) || math.Float32bits(got[name][i]) != math.Float32bits(w) {
				t.Errorf("gradient of %q differs at %d of %d", name, i, len(want[name]))
				break
			}
		}
	}
}

// Weights of a block get their gradients where nothing before the block has any.
func TestRecomputeBehindFrozenEmbeddings(t *testing.T) {
	queries, passages := trainBatch(t, checkpoint(t, "../../testdata/train/batches.safetensors"), 0)
	only := func(name string) bool { return name == "encoder.layer.0.attention.self.query.weight" }
	train := func(recompute bool) map[string][]float32 {
		p := trainModel(t, "bert", "mean", torch.CompileOptions{Recompute: recompute, Trainable: only})
		_, grads := gradientsOf(t, p, torch.RunOptions{}, queries, passages)
		return grads
	}
	plain := train(false)
	if len(plain) != 1 {
		t.Fatalf("%d gradients, want 1", len(plain))
	}
	compareExactly(t, train(true), plain)
}

// A graph without transformer blocks has nothing to compute again.
func TestRecomputeWithoutBlocks(t *testing.T) {
	g := &graph.Graph{Name: "none"}
	b := graph.NewBuilder(g, nil)
	x := b.Input("x", graph.TensorType(graph.Float, graph.Size(2)))
	b.Output("y", b.Add(x, x), nil)
	m := &graph.Model{Opsets: []graph.Opset{{Version: 23}}, Graph: g}
	if _, err := torch.Compile(m, torch.CompileOptions{Recompute: true}); err == nil {
		t.Error("no error")
	}
}
