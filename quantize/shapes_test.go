package quantize

import (
	"testing"

	"graft/graph"
)

// A graph that says nothing of its inputs' sizes is quantized as one that does.
func TestDynamicShapes(t *testing.T) {
	m, _, o := bert(t)
	o.Scheme = "int8-static"
	want := planned(t, m, o)
	vague := m.Clone()
	for _, v := range vague.Graph.Inputs {
		v.Type = &graph.Type{Elem: v.Type.Elem, Shape: graph.Shape{graph.AnyDim, graph.AnyDim}}
	}
	for _, n := range vague.Graph.Nodes {
		for _, v := range n.Outputs {
			if v != nil {
				v.Type = nil
			}
		}
	}
	if p := planned(t, vague, o); *p.Loss != *want.Loss || p.After != want.After {
		t.Errorf("loss %g in %d bytes, want %g in %d", *p.Loss, p.After, *want.Loss, want.After)
	}
}
