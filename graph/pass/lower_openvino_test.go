package pass_test

import (
	"math"
	"strings"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// TestLowerOpenVINOBF16: in float32 the form gives what the portable one gives; the last third of
// the weights are stored as bfloat16 numbers and the rest.
func TestLowerOpenVINOBF16(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *graph.Model{"post-norm": bert, "pre-norm": preNorm} {
		m := build(t)
		portable := lower(t, m, pass.LowerOptions{})
		low := lower(t, m, pass.LowerOptions{Target: pass.OpenVINOBF16})
		checkPlain(t, low, 17)
		agree(t, name, run(t, low, ort.OptimizeAll, inputs()), run(t, portable, ort.OptimizeOff, inputs()), 1e-5)
		split := 0
		for _, v := range low.Graph.Initializers {
			if source, ok := strings.CutSuffix(v.Name, ".split"); ok {
				split++
				checkSplit(t, v.Init, portable.Graph.Initializer(source).Init)
			}
		}
		products := 0
		portable.Graph.Walk(func(n *graph.Node) {
			if n.Op == "MatMul" && n.Input(1).Init != nil {
				products++
			}
		})
		if split == 0 || split != products/3 {
			t.Errorf("%s: %d weights are split, want a third of %d", name, split, products)
		}
	}
}

// checkSplit: the upper half of split are bfloat16 numbers, and both halves add up to w within
// 2⁻¹⁶ of each number, which is what is left when the lower half is rounded too.
func checkSplit(t *testing.T, split, w *graph.Tensor) {
	t.Helper()
	got, err := split.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	want, err := w.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2*len(want) {
		t.Fatalf("%q has %d elements, want twice %d", split.Name, len(got), len(want))
	}
	round := func(f float32) float32 { return math.Float32frombits(uint32(graph.Float32ToBFloat16(f)) << 16) }
	for i, f := range want {
		high, low := got[i], got[len(want)+i]
		if high != round(high) || math.Abs(float64(high+round(low)-f)) > math.Abs(float64(f))/(1<<16) {
			t.Fatalf("%q: element %d, %g, is %g and %g", split.Name, i, f, high, low)
		}
	}
}

// TestLowerPoolingOpenVINOBF16: no product stands between the last norm and the pooled vector.
func TestLowerPoolingOpenVINOBF16(t *testing.T) {
	m := modelOf(t, 17, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
		return b.MatMul(b.Reshape(b.Cast(mask, graph.Float), 0, 1, -1), x)
	})
	want := run(t, m, ort.OptimizeOff, inputs())
	low := lower(t, m, pass.LowerOptions{Target: pass.OpenVINOBF16})
	if n := census(low)["MatMul"]; n != 0 {
		t.Errorf("%d products are left", n)
	}
	agree(t, "pooled", run(t, low, ort.OptimizeAll, inputs()), want, 1e-6)
}
