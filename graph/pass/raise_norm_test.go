package pass_test

import (
	"testing"

	"graft/graph"
)

// A norm whose bias is a Constant of zeros has none, which training would else make one of; a bias that is a weight stays.
func TestRaiseZeroBias(t *testing.T) {
	zeros := make([]float32, hidden)
	for name, inputs := range map[string]int{"constant": 2, "weight": 3} {
		m := modelOf(t, 17, func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
			bias := b.Const(graph.NewTensor("zeros", zeros, hidden))
			if name == "constant" {
				bias = b.Op("Constant", nil, graph.TensorAttr("value", graph.NewTensor("", zeros, hidden)))
			}
			return b.Op("LayerNormalization", []*graph.Value{x, b.Const(tensor("gain", 1, hidden)), bias}, graph.IntAttr("axis", -1))
		})
		expectRaised(t, m, map[string]int{"LayerNormalization": 1})
		high, _ := raise(t, m)
		for _, n := range high.Graph.Nodes {
			if n.Is("LayerNormalization") && len(n.Inputs) != inputs {
				t.Errorf("%s: the norm has %d inputs, want %d", name, len(n.Inputs), inputs)
			}
		}
	}
}
