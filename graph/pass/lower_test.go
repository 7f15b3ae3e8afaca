package pass_test

import (
	"fmt"
	"maps"
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

// TestLowerFused lowers to ONNX Runtime's own operators.
func TestLowerFused(t *testing.T) {
	causal := func(t *testing.T) *graph.Model {
		c := checkpoint{}
		b, x, mask, m := start(c)
		q, k, v := linears(b, x)
		keys := b.Cast(mask, graph.Bool)
		a := b.Attention(q, k, v, graph.AttentionOptions{Heads: heads, Mask: b.Unsqueeze(keys, 1, 2), Causal: true, Scale: 0.3})
		return finish(t, b, m, b.RMSNormGain(b.Add(a, x), b.Const(tensor("gain", 1, hidden)), 1e-6))
	}
	for _, c := range []struct {
		name   string
		build  func(*testing.T) *graph.Model
		target pass.Target
		want   map[string]int
	}{
		{"post-norm", bert, pass.CPU, map[string]int{"MultiHeadAttention": 2}},
		{"post-norm", bert, pass.CUDA, map[string]int{"MultiHeadAttention": 2, "SkipLayerNormalization": 4, "BiasGelu": 2}},
		{"pre-norm", preNorm, pass.CPU, nil}, // grouped queries
		{"pre-norm", preNorm, pass.CUDA, map[string]int{"SkipSimplifiedLayerNormalization": 3}},
		{"causal", causal, pass.CPU, map[string]int{"GroupQueryAttention": 1}},
		{"causal", causal, pass.CUDA, map[string]int{"MultiHeadAttention": 1, "SkipSimplifiedLayerNormalization": 1}},
	} {
		for _, opset := range []int64{14, 17, 20} {
			m := c.build(t)
			want := run(t, lower(t, m, pass.LowerOptions{}), ort.OptimizeOff, inputs())
			low := lower(t, m, pass.LowerOptions{Target: c.target, Opset: opset})
			what := fmt.Sprintf("%s for %s, opset %d", c.name, c.target, opset)
			for op, n := range c.want {
				if got := census(low)[graph.Microsoft+"."+op]; got != n {
					t.Errorf("%s: %d nodes of %s, want %d", what, got, op, n)
				}
			}
			for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
				agree(t, what, realRows(run(t, low, level, inputs())), realRows(want), 2e-5)
			}
			high, _ := raise(t, low)
			if got, want := layerCensus(high), layerCensus(m); !maps.Equal(got, want) {
				t.Errorf("%s: raised %v, want %v", what, got, want)
			}
		}
	}
}

// realRows keeps of [2, 5, hidden] the tokens that inputs does not pad.
func realRows(out arrays) arrays {
	return arrays{"y": floats(out["y"].Data.([]float32)[:8*hidden], 8, hidden)}
}

// TestLowerTensorRT: any operator outside of ONNX would split the engine.
func TestLowerTensorRT(t *testing.T) {
	for _, build := range []func(*testing.T) *graph.Model{bert, preNorm} {
		checkPlain(t, lower(t, build(t), pass.LowerOptions{Target: pass.TensorRT}), 17)
	}
}
