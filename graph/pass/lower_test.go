package pass_test

import (
	"fmt"
	"strings"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// reference runs m as it is, by ONNX Runtime's own kernels of opset 23.
func reference(t *testing.T, m *graph.Model, in arrays) arrays {
	t.Helper()
	return run(t, m, ort.OptimizeOff, in)
}

func lower(t *testing.T, m *graph.Model, o pass.LowerOptions) *graph.Model {
	t.Helper()
	c := m.Clone()
	if err := pass.Lower(c, o); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLowerPortable lowers whole blocks to every opset and compares with opset 23's operators.
func TestLowerPortable(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *graph.Model{"post-norm": postNorm, "pre-norm": preNorm} {
		m := build(t)
		want := reference(t, m, inputs())
		for opset := int64(13); opset <= 23; opset++ {
			low := lower(t, m, pass.LowerOptions{Opset: opset})
			for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
				what := fmt.Sprintf("%s, opset %d, optimization %s", name, opset, level)
				agree(t, what, run(t, low, level, inputs()), want, 1e-5)
			}
			checkPlain(t, low, opset)
		}
	}
}

// checkPlain fails where m holds what an opset below 23 lacks, or what Lower removes.
func checkPlain(t *testing.T, m *graph.Model, opset int64) {
	t.Helper()
	since := map[string]int64{"LayerNormalization": 17, "Gelu": 20, "RMSNormalization": 23, "RotaryEmbedding": 23, "Attention": 99, "Dropout": 99}
	for op, n := range census(m) {
		if opset < since[op] || strings.Contains(op, ".") {
			t.Errorf("opset %d: %d nodes of %s", opset, n, op)
		}
	}
	if got := m.Opset(""); got != opset {
		t.Errorf("opset %d is imported, want %d", got, opset)
	}
}

// TestLowerSharesMask: the mask becomes numbers once, for all layers.
func TestLowerSharesMask(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *graph.Model{"post-norm": postNorm, "pre-norm": preNorm} {
		low := lower(t, build(t), pass.LowerOptions{Opset: 17})
		if n := census(low)["Where"]; n != 1 {
			t.Errorf("%s: %d nodes of Where, want 1", name, n)
		}
		if n := census(low)["Range"]; n > 1 {
			t.Errorf("%s: %d nodes of Range, want at most 1", name, n)
		}
	}
}

// TestLowerTransposesWeights: x·Wᵀ reads a weight stored transposed, named after its source.
func TestLowerTransposesWeights(t *testing.T) {
	low := lower(t, postNorm(t), pass.LowerOptions{})
	w := low.Graph.Initializer("encoder.layer.0.intermediate.dense.weight.T")
	if w == nil {
		t.Fatal("no transposed weight")
	}
	if w.Init.Shape[0] != hidden || w.Init.Shape[1] != inner {
		t.Errorf("shape %v, want [%d %d]", w.Init.Shape, hidden, inner)
	}
	source, err := tensor("encoder.layer.0.intermediate.dense.weight", 0.2, inner, hidden).Float32s()
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Init.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for r := range hidden {
		for c := range inner {
			if got[r*inner+c] != source[c*hidden+r] {
				t.Fatalf("element [%d %d] is %g, want %g", r, c, got[r*inner+c], source[c*hidden+r])
			}
		}
	}
}

func TestLowerMistakes(t *testing.T) {
	for _, c := range []struct {
		o    pass.LowerOptions
		want string
	}{
		{pass.LowerOptions{Target: "tpu"}, `target "tpu" is not known`},
		{pass.LowerOptions{Opset: 12}, "opset 12, want 13 to 23"},
		{pass.LowerOptions{DType: graph.Int8}, "element type INT8"},
	} {
		err := pass.Lower(postNorm(t), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.o, err, c.want)
		}
	}
}
