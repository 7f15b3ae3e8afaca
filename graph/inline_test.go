package graph_test

import (
	"slices"
	"strings"
	"testing"

	"graft/graph"
)

// body makes a function of one operator set beside its own domain's.
func body(name string, g *graph.Graph, defaults ...graph.Attr) *graph.Function {
	return &graph.Function{Name: name, Domain: "local", Opsets: []graph.Opset{{Version: 23}, {Domain: "local", Version: 1}}, Defaults: defaults, Body: g}
}

// Calls become the nodes of the bodies: functions call one another, take attributes and leave inputs out, and give
// an input on as it is.
func TestInline(t *testing.T) {
	inner := graph.NewBuilder(&graph.Graph{Name: "Inner"}, nil)
	x, bias := inner.Input("x", nil), inner.Input("bias", nil)
	cast := inner.Op("Cast", []*graph.Value{x}, graph.Attr{Name: "to", Kind: graph.AttrInt, Ref: "type"})
	inner.Output("y", inner.Op("Clip", []*graph.Value{cast, bias}), nil)

	outer := graph.NewBuilder(&graph.Graph{Name: "Outer"}, nil)
	a := outer.Input("a", nil)
	call := func(b *graph.Builder, op string, outputs int, in ...*graph.Value) []*graph.Value {
		return b.OpN("local", op, outputs, in)
	}
	double := call(outer, "Inner", 1, a)[0]
	double.Def().SetAttr(graph.IntAttr("type", int64(graph.Double)))
	single := call(outer, "Inner", 1, double, a)[0]
	outer.Output("z", single, nil)
	outer.Graph().Outputs = append(outer.Graph().Outputs, a)

	l := newListing(map[string]*graph.Type{"in": float(graph.Size(2))})
	out := call(l.b, "Outer", 2, l.vals["in"])
	more := call(l.b, "Outer", 1, out[0])
	l.b.Output("first", l.b.Add(more[0], out[1]), float(graph.Size(2)))
	m := l.model()
	m.SetOpset("local", 1)
	m.Functions = []*graph.Function{body("Inner", inner.Graph(), graph.IntAttr("type", int64(graph.Float))), body("Outer", outer.Graph())}
	if changed, err := m.Inline(); err != nil || !changed {
		t.Fatalf("changed %t: %v", changed, err)
	}
	if len(m.Functions) != 0 {
		t.Errorf("%d functions are left", len(m.Functions))
	}
	var ops []string
	for _, n := range m.Graph.Nodes {
		ops = append(ops, n.Op)
	}
	if want := strings.Fields("Cast Clip Cast Clip Identity Cast Clip Cast Clip Add"); !slices.Equal(ops, want) {
		t.Fatalf("nodes %q, want %q", ops, want)
	}
	for i, want := range map[int]graph.DType{0: graph.Double, 2: graph.Float, 5: graph.Double, 7: graph.Float} {
		if got := graph.DType(m.Graph.Nodes[i].Int("to", 0)); got != want {
			t.Errorf("Cast %d is to %v, want %v", i, got, want)
		}
	}
	if m.Graph.Nodes[1].Input(1) != nil || m.Graph.Nodes[3].Input(1) != l.vals["in"] {
		t.Error("inputs of the second function are not the caller's")
	}
	if err := graph.Infer(m); err != nil {
		t.Error(err)
	}
	if err := graph.Check(m); err != nil {
		t.Error(err)
	}
}

// What cannot be inlined stays, or is refused: another version of the operators, functions without end.
func TestInlineRefuses(t *testing.T) {
	recursive := func(f *graph.Function, calls int) *graph.Model {
		l := newListing(map[string]*graph.Type{"in": float(graph.Size(2))})
		l.b.Output("out", l.b.OpN("local", "F", 1, []*graph.Value{l.vals["in"]})[0], nil)
		m := l.model()
		b := graph.NewBuilder(&graph.Graph{Name: "F"}, nil)
		v := b.Input("x", nil)
		for range calls {
			v = b.OpN("local", "F", 1, []*graph.Value{v})[0]
		}
		b.Output("y", b.Op("Neg", []*graph.Value{v}), nil)
		f.Body = b.Graph()
		m.Functions = []*graph.Function{f}
		return m
	}
	old := body("F", nil)
	old.Opsets[0].Version = 13
	m := recursive(old, 0)
	if changed, err := m.Inline(); changed || err != nil || len(m.Functions) != 1 {
		t.Errorf("a function of opset 13: changed %t, %d functions, %v", changed, len(m.Functions), err)
	}
	for calls, want := range map[int]string{1: "deep", 4: "nodes"} {
		if _, err := recursive(body("F", nil), calls).Inline(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d calls of itself: %v", calls, err)
		}
	}
}
