package quantize

import (
	"fmt"
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

// A product of what has no row for each token is not measured as if it had: DeBERTa multiplies a table of distances,
// as many as the batch's longest text has.
func TestProductOfDistances(t *testing.T) {
	m, _, o := bert(t)
	g := m.Graph
	numbers := func(shape ...int64) *graph.Value {
		x := make([]float32, graph.Count(shape))
		for i := range x {
			x[i] = float32(i%11)/11 - 0.5
		}
		return g.AddInitializer(graph.NewTensor(fmt.Sprint("distances.", shape), x, shape...))
	}
	var norm *graph.Node
	for _, n := range g.Nodes {
		if norm == nil && n.Is("LayerNormalization") {
			norm = n
		}
	}
	x := norm.Outputs[0]
	readers := g.Uses()[x]
	b := graph.NewBuilder(g, nil).Scope("distances")
	table := b.Op("Slice", []*graph.Value{numbers(1, 64, 32), b.Int64s(0), b.Size(g.Input("input_ids"), 1), b.Int64s(1)})
	product := b.MatMul(table, numbers(32, 32))
	moved := b.Add(x, b.Op("ReduceMean", []*graph.Value{product, b.Int64s(1)}))
	for _, u := range readers {
		u.Node.Inputs[u.Index] = moved
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if err := graph.Infer(m); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"int8-static", "int8-weight", "int4-weight"} {
		o.Scheme, o.Target = scheme, ""
		if p := planned(t, m, o); !(*p.Loss < 0.05) {
			t.Errorf("%s: loss %g", scheme, *p.Loss)
		}
	}
}
