package graph

import (
	"slices"
	"strings"
	"testing"
)

// chain builds n Relu nodes in a row, x → … → y.
func chain(n int) *Graph {
	g := &Graph{Name: "chain"}
	b := NewBuilder(g, nil)
	v := b.Input("x", TensorType(Float, Size(1)))
	for range n {
		v = b.Op("Relu", []*Value{v})
	}
	b.Output("y", v, TensorType(Float, Size(1)))
	return g
}

func TestSort(t *testing.T) {
	g := chain(10_000)
	want := slices.Clone(g.Nodes)
	slices.Reverse(g.Nodes)
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.Nodes, want) {
		t.Error("a reversed chain is not put back in order")
	}
	if err := g.Sort(); err != nil || !slices.Equal(g.Nodes, want) {
		t.Errorf("a sorted graph changes its order (%v)", err)
	}
}

func TestSortCycle(t *testing.T) {
	g := chain(3)
	g.Nodes[0].Inputs[0] = g.Outputs[0]
	if err := g.Sort(); err == nil || !strings.Contains(err.Error(), "depend on each other") {
		t.Errorf("cycle: got %v", err)
	}
}

// TestSortSubgraph: a node whose body reads a value of the outer graph comes after its writer.
func TestSortSubgraph(t *testing.T) {
	g := chain(2)
	user := NewNode("If", nil, []*Value{NewValue("z", nil)}, GraphAttr("then_branch", &Graph{
		Nodes: []*Node{NewNode("Relu", []*Value{g.Outputs[0]}, []*Value{NewValue("w", nil)})},
	}))
	g.Nodes = slices.Insert(g.Nodes, 0, user)
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if g.Nodes[2] != user {
		t.Error("the If node does not follow the node that its body reads")
	}
}

func TestReplaceOutputKeepsName(t *testing.T) {
	g := chain(2)
	y := g.Outputs[0]
	inner := g.Nodes[0].Output(0)
	g.Replace(y, inner)
	if g.Outputs[0] != inner || inner.Name != "y" || y.Name == "y" {
		t.Errorf("output is %v, the old one %v", g.Outputs[0], y)
	}
}

func TestSetOutputMovesValue(t *testing.T) {
	g := chain(1)
	y := g.Outputs[0]
	old := y.Def()
	n := NewNode("Tanh", []*Value{g.Inputs[0]}, []*Value{y})
	if y.Def() != n || old.Output(0) != nil {
		t.Error("a value has two writers")
	}
}

// checkpoint is a Weights of shapes alone.
type checkpoint map[string][]int64

func (c checkpoint) Tensor(name string) (*Tensor, bool) {
	shape, ok := c[name]
	return &Tensor{Name: name, DType: Float, Shape: shape, Data: Raw(make([]byte, 4*Count(shape)))}, ok
}

func TestBuilderReportsAllMissing(t *testing.T) {
	b := NewBuilder(&Graph{}, checkpoint{"l.query.weight": {4, 3}, "l.query.bias": {4}})
	x := b.Input("x", TensorType(Float, Size(1), Size(3)))
	l := b.Scope("l")
	l.Linear("query", x, 3, 5)
	l.Linear("key", x, 3, 4)
	err := b.Err()
	for _, want := range []string{
		`checkpoint lacks 2 tensors: ["l.key.weight" "l.key.bias"]`,
		`tensor "l.query.weight": shape [4 3], want [5 3]`,
		`tensor "l.query.bias": shape [4], want [5]`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestFloat16ToFloat32(t *testing.T) {
	for bits, want := range map[uint16]float32{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0400: 6.103515625e-05, 0x0001: 5.960464477539063e-08, 0x03ff: 6.097555160522461e-05,
	} {
		if got := Float16ToFloat32(bits); got != want {
			t.Errorf("%#04x: got %g, want %g", bits, got, want)
		}
	}
	if got := Float16ToFloat32(0x7e00); got == got {
		t.Errorf("0x7e00: got %g, want NaN", got)
	}
}

func TestDTypeBytes(t *testing.T) {
	for _, c := range []struct {
		d       DType
		n, want int64
	}{{Float, 3, 12}, {Int4, 3, 2}, {Uint2, 5, 2}, {Bool, 7, 7}, {Float, 1 << 62, -1}, {Float, -1, -1}, {String, 2, -1}} {
		if got := c.d.Bytes(c.n); got != c.want {
			t.Errorf("%v × %d: %d bytes, want %d", c.d, c.n, got, c.want)
		}
	}
}
