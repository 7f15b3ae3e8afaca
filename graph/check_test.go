package graph_test

import (
	"strings"
	"testing"

	"graft/graph"
)

// valid is a model that Check accepts, for tests to break.
func valid() *graph.Model {
	l := newListing(map[string]*graph.Type{"ids": ids()})
	table := l.b.Const(graph.NewTensor("table", make([]float32, 8), 4, 2))
	x := l.b.Op("Gather", []*graph.Value{table, l.vals["ids"]})
	y := l.b.Op("Relu", []*graph.Value{x})
	l.b.Output("y", y, nil)
	return l.model()
}

func TestCheckAcceptsBuilt(t *testing.T) {
	if err := graph.Check(valid()); err != nil {
		t.Error(err)
	}
}

func TestCheckFinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(m *graph.Model)
		want   string
	}{
		{"order", func(m *graph.Model) { n := m.Graph.Nodes; n[0], n[1] = n[1], n[0] },
			`graph "main": node "Relu" (Relu): input 0 reads "Gather" before node "Gather" (Gather) writes it`},
		{"undefined input", func(m *graph.Model) { m.Graph.Nodes[1].Inputs[0] = graph.NewValue("ghost", nil) },
			`node "Relu" (Relu): input 0 reads "ghost", which nothing defines`},
		{"undefined output", func(m *graph.Model) { m.Graph.Outputs[0] = graph.NewValue("ghost", nil) },
			`output "ghost" is not defined by any input, initializer or node`},
		{"name written twice", func(m *graph.Model) { m.Graph.Nodes[1].Outputs[0].Name = "Gather" },
			`node "Relu" (Relu): output "Gather" is already defined`},
		{"writer", func(m *graph.Model) { m.Graph.Nodes[1].Outputs = []*graph.Value{graph.NewValue("y", nil)} },
			`output "y" is held by another writer or by none`},
		{"opset", func(m *graph.Model) { m.Graph.Nodes[1].Domain = "other" },
			`the operator set "other" is not imported`},
		{"opset twice", func(m *graph.Model) { m.Opsets = append(m.Opsets, graph.Opset{Domain: "ai.onnx", Version: 3}) },
			`model imports the operator set "" twice`},
		{"too new", func(m *graph.Model) { m.Graph.Nodes[1].Op = "Gelu"; m.SetOpset("", 17) },
			`operator Gelu came with opset 20, the model imports 17`},
		{"too few inputs", func(m *graph.Model) { m.Graph.Nodes[0].Inputs = m.Graph.Nodes[0].Inputs[:1] },
			`node "Gather" (Gather): 1 inputs, want 2`},
		{"input form", func(m *graph.Model) {
			m.Graph.Nodes[1].Op = "Unsqueeze"
			m.Graph.Nodes[1].SetAttr(graph.IntsAttr("axes", 1))
		}, `node "Relu" (Unsqueeze): 1 inputs, want 2`},
		{"attribute kind", func(m *graph.Model) { m.Graph.Nodes[0].SetAttr(graph.FloatAttr("axis", 1)) },
			`attribute "axis" is FLOAT, want INT`},
		{"attribute twice", func(m *graph.Model) {
			m.Graph.Nodes[0].Attrs = []graph.Attr{graph.IntAttr("axis", 0), graph.IntAttr("axis", 1)}
		}, `attribute "axis" is set twice`},
		{"initializer size", func(m *graph.Model) { m.Graph.Initializers[0].Init.Shape = []int64{4, 3} },
			`initializer "table": 32 bytes for FLOAT[4 3], want 48`},
		{"initializer shape", func(m *graph.Model) { m.Graph.Initializers[0].Init.Shape = []int64{-4, -2} },
			`initializer "table": shape [-4 -2] has a negative size`},
		{"initializer twice", func(m *graph.Model) { g := m.Graph; g.Initializers = append(g.Initializers, g.Initializers[0]) },
			`initializer "table" is listed twice`},
		{"input name twice", func(m *graph.Model) { g := m.Graph; g.Inputs = append(g.Inputs, graph.NewValue("ids", nil)) },
			`input "ids" is defined twice`},
		{"reference outside of a function", func(m *graph.Model) {
			m.Graph.Nodes[0].SetAttr(graph.Attr{Name: "axis", Kind: graph.AttrInt, Ref: "a"})
		}, `attribute "axis" refers to "a" outside of a function`},
		{"no graph", func(m *graph.Model) { m.Graph = nil }, "it has no graph"},
	} {
		m := valid()
		c.damage(m)
		if err := graph.Check(m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// A subgraph reads what is defined before its node, and its node outputs may not take an outer name.
func TestCheckSubgraph(t *testing.T) {
	build := func(inner string) *graph.Model {
		l := newListing(map[string]*graph.Type{"cond": graph.TensorType(graph.Bool), "x": float()})
		branch := func(name string) *graph.Graph {
			y := graph.NewValue(name, nil)
			return &graph.Graph{Name: name, Nodes: []*graph.Node{graph.NewNode("Relu", []*graph.Value{l.vals["x"]}, []*graph.Value{y})}, Outputs: []*graph.Value{y}}
		}
		out := l.b.Op("If", []*graph.Value{l.vals["cond"]}, graph.GraphAttr("then_branch", branch(inner)), graph.GraphAttr("else_branch", branch("b")))
		l.b.Output("out", out, nil)
		return l.model()
	}
	if err := graph.Check(build("a")); err != nil {
		t.Error(err)
	}
	want := `graph "x": node "" (Relu): output "x" is already defined`
	if err := graph.Check(build("x")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// Many errors are cut short.
func TestCheckStops(t *testing.T) {
	m := valid()
	for range 100 {
		m.Graph.Inputs = append(m.Graph.Inputs, graph.NewValue("", nil))
	}
	if n := strings.Count(graph.Check(m).Error(), "\n") + 1; n > 21 {
		t.Errorf("%d errors, want at most 21", n)
	}
}

func TestFprint(t *testing.T) {
	m := valid()
	m.ProducerName, m.IRVersion = "someone", 10
	m.SetMeta("key", strings.Repeat("long ", 100))
	if err := graph.Infer(m); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := graph.Fprint(&b, m, graph.PrintOptions{Nodes: true, Weights: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`model "main", IR version 10, by someone`, "opset   ai.onnx 23", "opset   com.microsoft 1",
		"weights 8 in 1 tensors, 32 B", "FLOAT                   8 elements", "nodes   2",
		"input   ids                          INT64[batch sequence]", "output  y                            FLOAT[batch sequence 2]",
		"weight  table                        FLOAT[4 2]", "Gather FLOAT[batch sequence 2] = Gather(table, ids)", "y FLOAT[batch sequence 2] = Relu(Gather)",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the listing lacks %q:\n%s", want, b.String())
		}
	}
}
