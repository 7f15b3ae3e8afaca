package pass_test

import (
	"maps"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// TestLowerConstantKeys: keys and values that are made of weights alone are the first factors of their
// products, which is where OpenVINO reads constants of several heads rightly; and Raise finds the attention again.
func TestLowerConstantKeys(t *testing.T) {
	for name, merged := range map[string]bool{"heads merged": true, "heads apart": false} {
		t.Run(name, func(t *testing.T) {
			m := modelOf(t, 23, func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
				latents := b.Const(tensor("latents", 1, 1, 6, hidden))
				q, k, v := linears(b, x)
				k, v = b.MatMul(latents, k.Def().Input(1)), b.MatMul(latents, v.Def().Input(1))
				q = b.Reshape(q, 1, -1, hidden) // the tokens of all texts in a row
				if merged {
					y := b.Op("Attention", []*graph.Value{q, k, v}, graph.IntAttr("q_num_heads", heads), graph.IntAttr("kv_num_heads", heads))
					return b.Op("Reshape", []*graph.Value{y, b.Op("Shape", []*graph.Value{x})})
				}
				y := mergeHeads(b, b.Op("Attention", []*graph.Value{splitHeads(b, q), splitHeads(b, k), splitHeads(b, v)}))
				return b.Op("Reshape", []*graph.Value{y, b.Op("Shape", []*graph.Value{x})})
			})
			want := reference(t, m, inputs())
			low := lower(t, m, pass.LowerOptions{})
			checkFirstFactors(t, low)
			for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
				agree(t, name, run(t, low, level, inputs()), want, 1e-5)
			}
			high, report := raise(t, low)
			if got := layerCensus(high); !maps.Equal(got, map[string]int{"Attention": 1}) {
				t.Errorf("raised %v, left %v", got, report.Left)
			}
			agree(t, "raised and lowered", run(t, lower(t, high, pass.LowerOptions{}), ort.OptimizeAll, inputs()), want, 1e-5)
		})
	}
}

// checkFirstFactors: no product of a softmax's input, or of its output, has a constant as its second factor.
func checkFirstFactors(t *testing.T, m *graph.Model) {
	t.Helper()
	constant := map[*graph.Value]bool{}
	for _, v := range m.Graph.Initializers {
		constant[v] = true
	}
	softmaxes := 0
	for _, n := range m.Graph.Nodes {
		all := true
		for _, in := range n.Inputs {
			all = all && (in == nil || constant[in])
		}
		for _, out := range n.Outputs {
			constant[out] = all
		}
		if n.Is("Softmax") {
			softmaxes++
		}
		if n.Is("MatMul") && n.Input(1).Init == nil && constant[n.Input(1)] {
			t.Errorf("%v has the constant %v as its second factor", n.Name, n.Input(1))
		}
	}
	if softmaxes != 1 {
		t.Errorf("%d softmaxes, want 1", softmaxes)
	}
}
