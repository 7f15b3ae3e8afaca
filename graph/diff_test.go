package graph

import (
	"strings"
	"testing"
)

// sample has something of everything that Diff compares.
func sample() *Model {
	x := NewValue("x", TensorType(Float, Symbol("n"), Size(2)))
	y := NewValue("y", nil)
	g := &Graph{Name: "g", Inputs: []*Value{x}, Outputs: []*Value{y}, ValueInfo: []*Value{y}}
	w := g.AddInitializer(NewTensor("w", []float32{1, 2}, 2))
	body := &Graph{Inputs: []*Value{NewValue("a", nil)}}
	g.Nodes = []*Node{NewNode("If", []*Value{x, nil, w}, []*Value{y},
		GraphAttr("then_branch", &Graph{Name: "then"}), IntsAttr("ints", 1, 2), FloatAttr("f", 1), StrAttr("s", "a"),
		TensorAttr("t", NewTensor("", []int64{1})))}
	return &Model{
		IRVersion: 8, Opsets: []Opset{{"", 17}}, Metadata: []Property{{"k", "v"}}, Graph: g,
		Functions: []*Function{{Name: "f", Domain: "d", Body: body, Attributes: []string{"alpha"}}},
	}
}

func TestDiff(t *testing.T) {
	if lines := Diff(sample(), sample()); lines != nil {
		t.Errorf("equal models differ: %q", lines)
	}
	for want, change := range map[string]func(m *Model){
		"ir_version: 8 is not 9":              func(m *Model) { m.IRVersion = 9 },
		"opsets: ":                            func(m *Model) { m.Opsets[0].Version = 18 },
		"model.metadata: ":                    func(m *Model) { m.SetMeta("k", "w") },
		"model.extra: ":                       func(m *Model) { m.Extra = []byte{1} },
		"graph.name: ":                        func(m *Model) { m.Graph.Name = "" },
		"graph.input: 1 items are not 0":      func(m *Model) { m.Graph.Inputs = nil },
		`graph.input[0] "x".type.shape: `:     func(m *Model) { m.Graph.Inputs[0].Type.Shape[0] = AnyDim },
		`graph.input[0] "x".type.rank known`:  func(m *Model) { m.Graph.Inputs[0].Type.Shape = nil },
		`graph.input[0] "x".type: only one`:   func(m *Model) { m.Graph.Inputs[0].Type = nil },
		`graph.output[0] written by a node`:   func(m *Model) { m.Graph.Remove(func(*Node) bool { return true }) },
		`graph.initializer[0] "w" tensor "w"`: func(m *Model) { m.Graph.Initializers[0].Init.Data = Raw("12345678") },
		`"w".dtype: `:                         func(m *Model) { m.Graph.Initializers[0].Init.DType = Int32 },
		`8 bytes of data are not 2`:           func(m *Model) { m.Graph.Initializers[0].Init.Data = Raw("12") },
		`holds data: true is not false`:       func(m *Model) { m.Graph.Initializers[0].Init.Data = nil },
		`graph.value_info: `:                  func(m *Model) { m.Graph.ValueInfo = nil },
		`graph.node[0] "" (If).op: `:          func(m *Model) { m.Graph.Nodes[0].Op = "Loop" },
		`graph.node[0] "" (If).input[1]: `:    func(m *Model) { m.Graph.Nodes[0].Inputs[1] = m.Graph.Inputs[0] },
		`.attribute[0] "then_branch".name: `:  func(m *Model) { m.Graph.Nodes[0].Attrs[0].Graph.Name = "else" },
		`.attribute[1] "ints".ints: `:         func(m *Model) { m.Graph.Nodes[0].Attrs[1].Ints[1] = 3 },
		`.attribute[2] "f".f: `:               func(m *Model) { m.Graph.Nodes[0].Attrs[2].Float = 2 },
		`.attribute[3] "s".kind: `:            func(m *Model) { m.Graph.Nodes[0].Attrs[3].Kind = AttrInt },
		`.attribute[4] "t" tensor "": data`:   func(m *Model) { m.Graph.Nodes[0].Attrs[4].Tensor = NewTensor("", []int64{2}) },
		`functions[0] "f".attribute: `:        func(m *Model) { m.Functions[0].Attributes = nil },
		`functions[0] "f".input: `:            func(m *Model) { m.Functions[0].Body.Inputs = nil },
	} {
		m := sample()
		change(m)
		lines := Diff(sample(), m)
		if len(lines) == 0 || !strings.Contains(strings.Join(lines, "\n"), want) {
			t.Errorf("%q, want %q", lines, want)
		}
	}
}
