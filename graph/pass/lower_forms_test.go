package pass_test

import (
	"math"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// expectLowered compares opset 23's operators with what Lower makes of them.
func expectLowered(t *testing.T, build func(b *graph.Builder, x, mask *graph.Value) *graph.Value) {
	t.Helper()
	m := modelOf(t, 23, build)
	m.IRVersion = 11
	want := reference(t, m, inputs())
	for _, opset := range []int64{14, 17, 20} {
		low := lower(t, m, pass.LowerOptions{Opset: opset})
		checkPlain(t, low, opset)
		for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
			agree(t, string(level), run(t, low, level, inputs()), want, 1e-5)
		}
	}
}

// TestLowerRotaryForms covers the inputs and attributes of RotaryEmbedding.
func TestLowerRotaryForms(t *testing.T) {
	numHeads := graph.IntAttr("num_heads", heads)
	for name, c := range map[string]struct {
		pairs  int64 // of features that turn
		stored bool  // tables by position, otherwise by token
		apart  bool  // heads apart
		attrs  []graph.Attr
	}{
		"by token":             {headSize / 2, false, false, []graph.Attr{numHeads}},
		"by position":          {headSize / 2, true, false, []graph.Attr{numHeads}},
		"heads apart":          {headSize / 2, true, true, nil},
		"neighbours":           {headSize / 2, true, false, []graph.Attr{numHeads, graph.IntAttr("interleaved", 1)}},
		"part of each head":    {headSize / 4, false, false, []graph.Attr{numHeads, graph.IntAttr("rotary_embedding_dim", headSize/2)}},
		"neighbours, of apart": {headSize / 2, false, true, []graph.Attr{graph.IntAttr("interleaved", 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			expectLowered(t, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
				cos, sin := b.Const(tensor("cos", 1, 16, c.pairs)), b.Const(tensor("sin7", 1, 16, c.pairs))
				positions := b.Op("CumSum", []*graph.Value{mask, b.Int64(1)})
				in := []*graph.Value{x, cos, sin, positions}
				if !c.stored {
					in = []*graph.Value{x, b.Op("Gather", []*graph.Value{cos, positions}), b.Op("Gather", []*graph.Value{sin, positions})}
				}
				if c.apart {
					in[0] = splitHeads(b, x)
				}
				y := b.Op("RotaryEmbedding", in, c.attrs...)
				if c.apart {
					y = mergeHeads(b, y)
				}
				return y
			})
		})
	}
}

// TestLowerAttentionForms covers the inputs and attributes of Attention.
func TestLowerAttentionForms(t *testing.T) {
	merged := []graph.Attr{graph.IntAttr("q_num_heads", heads), graph.IntAttr("kv_num_heads", heads)}
	bias := tensor("bias", 1, 1, heads, 5, 5)
	for name, c := range map[string]struct {
		apart bool
		mask  func(b *graph.Builder, mask *graph.Value) *graph.Value
		attrs []graph.Attr
	}{
		"plain":         {attrs: merged},
		"heads apart":   {apart: true},
		"scaled":        {attrs: append(merged[:2:2], graph.FloatAttr("scale", 0.7))},
		"causal":        {attrs: append(merged[:2:2], graph.IntAttr("is_causal", 1))},
		"capped":        {attrs: append(merged[:2:2], graph.FloatAttr("softcap", 2))},
		"padding":       {mask: padding, attrs: merged},
		"apart, padded": {apart: true, mask: padding, attrs: []graph.Attr{graph.IntAttr("is_causal", 1)}},
		"bias": {mask: func(b *graph.Builder, _ *graph.Value) *graph.Value { return b.Const(bias) },
			attrs: append(merged[:2:2], graph.IntAttr("is_causal", 1))},
	} {
		t.Run(name, func(t *testing.T) {
			expectLowered(t, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
				q, k, v := linears(b, x)
				in := []*graph.Value{q, k, v}
				if c.apart {
					in = []*graph.Value{splitHeads(b, q), splitHeads(b, k), splitHeads(b, v)}
				}
				if c.mask != nil {
					in = append(in, c.mask(b, mask))
				}
				y := b.Op("Attention", in, c.attrs...)
				if c.apart {
					y = mergeHeads(b, y)
				}
				return y
			})
		})
	}
}

// TestLowerEmptyRow: a text of padding alone gives numbers, in float16 too.
func TestLowerEmptyRow(t *testing.T) {
	in := inputs()
	in["attention_mask"] = int64s(make([]int64, 10), 2, 5)
	for _, d := range []graph.DType{graph.Float, graph.Float16} {
		for _, build := range []func(*testing.T) *graph.Model{bert, preNorm} {
			y := run(t, lower(t, build(t), pass.LowerOptions{DType: d}), ort.OptimizeAll, in)["y"].Data.([]float32)
			for i, f := range y {
				if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
					t.Fatalf("%v: element %d is %g", d, i, f)
				}
			}
		}
	}
}

// TestLowerDropoutInTraining: Dropout that was asked to drop stays.
func TestLowerDropoutInTraining(t *testing.T) {
	m := modelOf(t, 23, func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
		flag := b.Const(graph.NewTensor("training", []bool{true}))
		return b.Op("Dropout", []*graph.Value{x, b.Scalar(0.5), flag})
	})
	if n := census(lower(t, m, pass.LowerOptions{}))["Dropout"]; n != 1 {
		t.Errorf("%d nodes of Dropout, want the one in training mode", n)
	}
}
