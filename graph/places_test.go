package graph

import "testing"

// TestPlaces walks a graph of two blocks: what comes before them, a weight that is widened first, what no input
// leads to, and what comes behind.
func TestPlaces(t *testing.T) {
	g := &Graph{Name: "two blocks"}
	value := func(name string) *Value { return &Value{Name: name} }
	x, w := value("x"), value("w")
	w.Init = &Tensor{DType: Float, Shape: []int64{1}}
	g.Inputs, g.Initializers = []*Value{x}, []*Value{w}
	node := func(name, out string, in ...*Value) *Value {
		n := &Node{Name: name, Op: "Add", Inputs: in}
		v := value(out)
		n.SetOutput(0, v)
		g.Nodes = append(g.Nodes, n)
		return v
	}
	embedded := node("embed", "embedded", x)
	mask := node("mask", "mask", x)
	first := node("first", "stream.1", embedded, mask)
	wide := node("widen", "wide", w)
	inside := node("product", "inside", first, wide)
	second := node("second", "stream.2", inside, mask)
	pooled := node("pool", "pooled", second, mask)
	g.Outputs = []*Value{pooled}

	bounds := []string{"embedded", "stream.1", "stream.2"}
	p := FindPlaces(g, bounds, nil)
	want := map[string]int{"embed": -1, "mask": -1, "first": 0, "widen": 1, "product": 1, "second": 1, "pool": 2}
	for _, n := range g.Nodes {
		if p.Nodes[n] != want[n.Name] {
			t.Errorf("node %q is in %d, want %d", n.Name, p.Nodes[n], want[n.Name])
		}
	}
	if at := p.WeightPlaces(g)[w]; at != 1 {
		t.Errorf("the weight is in %d, want 1", at)
	}

	// An optimizer took the name of the stream between the blocks: what is left of the old names places the rest.
	first.Name = "fused"
	q := FindPlaces(g, bounds, p.Values)
	for _, n := range g.Nodes {
		if q.Nodes[n] != want[n.Name] {
			t.Errorf("without a bound: node %q is in %d, want %d", n.Name, q.Nodes[n], want[n.Name])
		}
	}
}
