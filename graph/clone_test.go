package graph

import "testing"

// TestClone changes a copy in every way that passes do and sees the original unchanged.
func TestClone(t *testing.T) {
	g := &Graph{Name: "g"}
	b := NewBuilder(g, nil)
	x := b.Input("x", TensorType(Float, Symbol("n"), Size(2)))
	y := b.Add(b.Mul(x, b.Scalar(2)), x)
	b.Output("y", y, TensorType(Float, Symbol("n"), Size(2)))
	body := &Graph{Name: "body", Outputs: []*Value{x}}
	y.Def().SetAttr(GraphAttr("body", body))
	m := &Model{Graph: g, Opsets: []Opset{{"", 17}}}

	c := m.Clone()
	if c.Graph.Nodes[1].Output(0) != c.Graph.Outputs[0] || c.Graph.Outputs[0].Def() != c.Graph.Nodes[1] {
		t.Error("the copy's output is not written by the copy's node")
	}
	if c.Graph.Nodes[1].Attr("body").Graph.Outputs[0] != c.Graph.Inputs[0] {
		t.Error("the copy's subgraph does not read the copy's value")
	}
	c.Graph.Inputs[0].Name = "z"
	c.Graph.Inputs[0].Type.Shape[1] = Size(3)
	c.Graph.Nodes[0].Inputs[1] = nil
	c.Graph.Remove(func(n *Node) bool { return n.Op == "Mul" })
	c.SetOpset("", 20)
	if len(g.Nodes) != 2 || g.Inputs[0].Name != "x" || g.Inputs[0].Type.Shape[1].Size != 2 || m.Opset("") != 17 ||
		g.Nodes[0].Inputs[1] == nil || g.Nodes[0].Output(0).Def() != g.Nodes[0] {
		t.Error("a change to the copy changed the original")
	}
}
