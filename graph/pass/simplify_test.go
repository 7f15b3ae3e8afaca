package pass_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// readExport reads a small encoder as torch.onnx exports it.
func readExport(t *testing.T) *graph.Model {
	t.Helper()
	m, err := onnx.Read(filepath.Join("..", "..", "testdata", "onnx", "bert.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// exportInputs are ids and masks for each input of m that an encoder has.
func exportInputs(m *graph.Model) arrays {
	in := arrays{}
	for _, v := range m.Graph.Inputs {
		data := make([]int64, 2*6)
		for i := range data {
			switch v.Name {
			case "input_ids":
				data[i] = int64(2 + 7*i%90)
			case "attention_mask":
				data[i] = 1
			}
		}
		if v.Name == "attention_mask" {
			data[10], data[11] = 0, 0
		}
		in[v.Name] = int64s(data, 2, 6)
	}
	return in
}

// Each pass alone, and all to a fixed point, keep the outputs: ONNX Runtime's optimizations off and on.
func TestPassesKeepOutputs(t *testing.T) {
	for name, apply := range map[string]func(*graph.Model) error{
		"forward": alone(pass.Forward), "reshapes": alone(pass.Reshapes), "fold": alone(pass.Fold), "dedupe": alone(pass.Dedupe), "dead": alone(pass.Dead), "simplify": pass.Simplify,
	} {
		t.Run(name, func(t *testing.T) {
			m := readExport(t)
			in := exportInputs(m)
			want := run(t, m, ort.OptimizeOff, in)
			if err := apply(m); err != nil {
				t.Fatal(err)
			}
			for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
				agree(t, string(level), run(t, m, level, in), want, 2e-6)
			}
		})
	}
}

// alone runs p and nothing else.
func alone(p pass.Pass) func(*graph.Model) error {
	return func(m *graph.Model) error {
		_, err := pass.Run(m, p)
		return err
	}
}

// arithmetic is a model that computes shapes and weights from constants, with an unused input of
// each kind beside it.
func arithmetic(t *testing.T) *graph.Model {
	t.Helper()
	g := &graph.Graph{Name: "arithmetic"}
	b := graph.NewBuilder(g, nil)
	x := b.Input("x", graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Symbol("sequence"), graph.Size(8)))
	w := b.Const(tensor("w", 0.5, 8, 8))
	twin := b.Const(tensor("w", 0.5, 8, 8))
	shape := b.Op("Shape", []*graph.Value{x})
	last := b.Op("Gather", []*graph.Value{shape, b.Int64(2)})
	half := b.Op("Div", []*graph.Value{last, b.Int64(2)})
	target := b.Op("Concat", []*graph.Value{b.Size(x, 0), b.Size(x, 1), b.Int64s(2), b.Unsqueeze(half, 0)}, graph.IntAttr("axis", 0))
	y := b.Add(b.MatMul(x, b.Transpose(w, 1, 0)), b.MatMul(b.Op("Identity", []*graph.Value{x}), b.Transpose(twin, 1, 0)))
	scale := b.Op("Sqrt", []*graph.Value{b.Cast(last, graph.Float)})
	y = b.Div(y, scale)
	b.Op("Exp", []*graph.Value{y})
	y = b.Cast(b.Op("Reshape", []*graph.Value{y, target}), graph.Float)
	b.Output("y", y, graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Symbol("sequence"), graph.Size(2), graph.Size(4)))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}}, Graph: g}
}

// What is left of the shape and weight arithmetic: the transposed weight, sqrt(8) and the target.
func TestSimplifyArithmetic(t *testing.T) {
	m := arithmetic(t)
	in := arrays{"x": floats(noise(1, 3, 5, 8), 3, 5, 8)}
	want := run(t, m, ort.OptimizeOff, in)
	if err := pass.Simplify(m); err != nil {
		t.Fatal(err)
	}
	agree(t, "simplified", run(t, m, ort.OptimizeOff, in), want, 1e-6)
	for op, n := range map[string]int{"MatMul": 1, "Transpose": 0, "Gather": 0, "Cast": 0, "Identity": 0, "Exp": 0, "Sqrt": 0, "Reshape": 1, "Div": 1, "Unsqueeze": 0} {
		if got := census(m)[op]; got != n {
			t.Errorf("%d nodes %s are left, want %d", got, op, n)
		}
	}
	y := m.Graph.Output("y")
	if y == nil || y.Type.String() != "FLOAT[batch sequence 2 4]" {
		t.Errorf("output %v, want y of FLOAT[batch sequence 2 4]", y)
	}
}

// Target shapes of Reshape that symbols determine, and those that they do not.
func TestReshapes(t *testing.T) {
	s, n := graph.Symbol, graph.Size
	for _, c := range []struct {
		name   string
		in     []graph.Dim
		target func(b *graph.Builder, x *graph.Value) []*graph.Value
		want   []int64 // nil: the target stays computed
	}{
		{"split heads", []graph.Dim{s("b"), s("s"), n(384)}, func(b *graph.Builder, x *graph.Value) []*graph.Value {
			return []*graph.Value{b.Size(x, 0), b.Size(x, 1), b.Int64s(12), b.Int64s(32)}
		}, []int64{0, 0, 12, 32}},
		{"merge batch and sequence", []graph.Dim{s("b"), s("s"), n(384)}, func(b *graph.Builder, x *graph.Value) []*graph.Value {
			return []*graph.Value{b.Mul(b.Size(x, 0), b.Size(x, 1)), b.Int64s(384)}
		}, []int64{-1, 384}},
		{"heads in front", []graph.Dim{s("b"), n(12), s("s"), s("s")}, func(b *graph.Builder, x *graph.Value) []*graph.Value {
			return []*graph.Value{b.Mul(b.Size(x, 0), b.Int64s(12)), b.Size(x, 2), b.Size(x, 3)}
		}, nil},
	} {
		b := graph.NewBuilder(&graph.Graph{Name: "g"}, nil)
		x := b.Input("x", graph.TensorType(graph.Float, c.in...))
		target := b.Op("Concat", c.target(b, x), graph.IntAttr("axis", 0))
		y := b.Op("Reshape", []*graph.Value{x, target})
		b.Output("y", b.Op("Exp", []*graph.Value{y}), nil)
		m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}}, Graph: b.Graph()}
		if err := pass.Simplify(m); err != nil {
			t.Fatal(err)
		}
		var got []int64
		if constant := y.Def().Input(1).Const(); constant != nil {
			var err error
			if got, err = constant.Int64s(); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: target %v, want %v", c.name, got, c.want)
		}
	}
}

// A transposed weight is stored only where the weight itself then is not.
func TestFoldDoesNotGrowTheFile(t *testing.T) {
	for _, shared := range []bool{false, true} {
		b := graph.NewBuilder(&graph.Graph{Name: "g"}, nil)
		ids := b.Input("ids", graph.TensorType(graph.Int64, graph.Symbol("n")))
		table := b.Const(tensor("table", 1, 400, 100))
		x := b.Input("x", graph.TensorType(graph.Float, graph.Symbol("n"), graph.Size(100)))
		if shared {
			x = b.Add(x, b.Op("Gather", []*graph.Value{table, ids}))
		}
		b.Output("y", b.MatMul(x, b.Transpose(table, 1, 0)), nil)
		m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}}, Graph: b.Graph()}
		if err := pass.Simplify(m); err != nil {
			t.Fatal(err)
		}
		bytes := graph.TakeCensus(m.Graph).Bytes
		if left := census(m)["Transpose"] == 1; left != shared || bytes != 160000 {
			t.Errorf("shared %t: Transpose left %t, %d bytes of weights, want 160000", shared, left, bytes)
		}
	}
}

// An input with a default value is no constant: a caller may replace it.
func TestFoldLeavesDefaults(t *testing.T) {
	b := graph.NewBuilder(&graph.Graph{Name: "g"}, nil)
	v := b.Const(tensor("scale", 1, 3))
	b.Graph().Inputs = append(b.Graph().Inputs, v)
	b.Output("y", b.Op("Neg", []*graph.Value{b.Op("Neg", []*graph.Value{v})}), nil)
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}}, Graph: b.Graph()}
	if err := pass.Simplify(m); err != nil {
		t.Fatal(err)
	}
	if n := census(m)["Neg"]; n != 2 || len(m.Graph.Inputs) != 1 || len(m.Graph.Initializers) != 1 {
		t.Errorf("%d nodes, %d inputs, %d initializers are left", n, len(m.Graph.Inputs), len(m.Graph.Initializers))
	}
	// Before IR version 4 all weights were listed as inputs, and were constants.
	m.IRVersion = 3
	if err := pass.Simplify(m); err != nil {
		t.Fatal(err)
	}
	if n := census(m)["Neg"]; n != 1 || len(m.Graph.Inputs) != 0 || m.IRVersion != 4 {
		t.Errorf("IR version %d: %d nodes, %d inputs are left", m.IRVersion, n, len(m.Graph.Inputs))
	}
}

// What a subgraph reads is alive outside of it; what it computes from constants folds inside of it.
func TestSimplifySubgraph(t *testing.T) {
	b := graph.NewBuilder(&graph.Graph{Name: "g"}, nil)
	cond := b.Input("cond", graph.TensorType(graph.Bool))
	x := b.Input("x", graph.TensorType(graph.Float, graph.Size(3)))
	outer := b.Op("Exp", []*graph.Value{x})
	branch := func(op string) *graph.Graph {
		in := graph.NewBuilder(&graph.Graph{Name: op}, nil)
		two := in.Const(graph.NewTensor("two_"+op, []float32{2}, 1))
		four := in.Mul(two, two)
		four.Name = "four_" + op
		unused := in.Op("Neg", []*graph.Value{outer})
		unused.Name = "unused_" + op
		y := in.Op(op, []*graph.Value{outer, four})
		y.Name = "out_" + op
		in.Graph().Outputs = []*graph.Value{y}
		return in.Graph()
	}
	y := b.Op("If", []*graph.Value{cond}, graph.GraphAttr("then_branch", branch("Add")), graph.GraphAttr("else_branch", branch("Sub")))
	b.Output("y", y, graph.TensorType(graph.Float, graph.Size(3)))
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}}, Graph: b.Graph()}
	in := arrays{"cond": {Type: ort.Bool, Shape: []int64{}, Data: []bool{true}}, "x": floats([]float32{1, 2, 3}, 3)}
	want := run(t, m, ort.OptimizeOff, in)
	if err := pass.Simplify(m); err != nil {
		t.Fatal(err)
	}
	agree(t, "simplified", run(t, m, ort.OptimizeOff, in), want, 1e-6)
	got := census(m)
	if got["Mul"] != 0 || got["Neg"] != 0 || got["Exp"] != 1 {
		t.Errorf("left: %v", got)
	}
}

func TestDeadFunctions(t *testing.T) {
	b := graph.NewBuilder(&graph.Graph{Name: "g"}, nil)
	x := b.Input("x", graph.TensorType(graph.Float, graph.Size(3)))
	b.Output("y", b.OpN("local", "Outer", 1, []*graph.Value{x})[0], nil)
	function := func(name, calls string) *graph.Function {
		f := graph.NewBuilder(&graph.Graph{Name: name}, nil)
		in := f.Input("a", nil)
		out := f.OpN("local", calls, 1, []*graph.Value{in})[0]
		if calls == "" {
			out = f.Op("Relu", []*graph.Value{in})
		}
		f.Graph().Outputs = []*graph.Value{out}
		if calls == "" {
			f.Graph().Nodes = f.Graph().Nodes[1:]
		}
		return &graph.Function{Name: name, Domain: "local", Opsets: []graph.Opset{{Version: 18}, {Domain: "local", Version: 1}}, Body: f.Graph()}
	}
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}, {Domain: "local", Version: 1}}, Graph: b.Graph(),
		Functions: []*graph.Function{function("Outer", "Inner"), function("Inner", ""), function("Unused", "")}}
	changed, err := pass.Run(m, pass.Dead)
	if err != nil || !changed {
		t.Fatalf("changed %t, %v", changed, err)
	}
	var left []string
	for _, f := range m.Functions {
		left = append(left, f.Name)
	}
	if !slices.Equal(left, []string{"Outer", "Inner"}) {
		t.Errorf("functions %q are left, want Outer and Inner", left)
	}
}

// Random nodes that look alike are not.
func TestDedupeLeavesChance(t *testing.T) {
	b := graph.NewBuilder(&graph.Graph{Name: "g"}, nil)
	x := b.Input("x", graph.TensorType(graph.Float, graph.Size(3)))
	noisy := b.Add(b.Op("RandomNormalLike", []*graph.Value{x}), b.Op("RandomNormalLike", []*graph.Value{x}))
	b.Output("y", b.Add(noisy, b.Add(b.Op("Exp", []*graph.Value{x}), b.Op("Exp", []*graph.Value{x}))), nil)
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}}, Graph: b.Graph()}
	if err := pass.Simplify(m); err != nil {
		t.Fatal(err)
	}
	if got := census(m); got["RandomNormalLike"] != 2 || got["Exp"] != 1 {
		t.Errorf("left: %v, want 2 RandomNormalLike and 1 Exp", got)
	}
}

func TestRunNamesThePass(t *testing.T) {
	m := readExport(t)
	broken := pass.Pass{Name: "broken", Run: func(*graph.Model) (bool, error) { return false, errors.New("out of luck") }}
	if _, err := pass.Run(m, pass.Dead, broken); err == nil || err.Error() != `pass "broken": out of luck` {
		t.Errorf("error %v", err)
	}
	spoil := pass.Pass{Name: "spoil", Run: func(m *graph.Model) (bool, error) { m.Graph.Nodes = m.Graph.Nodes[1:]; return true, nil }}
	if _, err := pass.Run(m, spoil); err == nil || !strings.Contains(err.Error(), `after pass "spoil": check: graph`) {
		t.Errorf("error %v", err)
	}
}

// An If whose condition is known becomes the branch that it takes; branches beside one another may use the same names.
func TestBranches(t *testing.T) {
	for _, taken := range []bool{true, false} {
		b := graph.NewBuilder(&graph.Graph{Name: "g"}, nil)
		x := b.Input("x", graph.TensorType(graph.Float, graph.Size(3)))
		cond := b.Const(graph.NewTensor("cond", []bool{taken}))
		count := 0
		branch := func(op string) *graph.Graph {
			count++
			in := graph.NewBuilder(&graph.Graph{Name: op}, nil).Scope("branch_%d", count)
			two := in.Const(graph.NewTensor("two", []float32{2}, 1))
			y := in.Op(op, []*graph.Value{x, two})
			y.Name = "out"
			in.Graph().Outputs = []*graph.Value{y}
			return in.Graph()
		}
		y := x
		for range 2 {
			y = b.Mul(y, b.Op("If", []*graph.Value{cond}, graph.GraphAttr("then_branch", branch("Add")), graph.GraphAttr("else_branch", branch("Sub"))))
		}
		same := b.Op("If", []*graph.Value{cond}, graph.GraphAttr("then_branch", branch("Add")), graph.GraphAttr("else_branch", branch("Sub")))
		b.Output("y", y, graph.TensorType(graph.Float, graph.Size(3)))
		b.Output("same", same, graph.TensorType(graph.Float, graph.Size(3)))
		m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 18}}, Graph: b.Graph()}
		in := arrays{"x": floats([]float32{1, 2, 3}, 3)}
		want := run(t, m, ort.OptimizeOff, in)
		if changed, err := pass.Run(m, pass.Branches); err != nil || !changed {
			t.Fatalf("changed %t: %v", changed, err)
		}
		if err := graph.Check(m); err != nil {
			t.Fatal(err)
		}
		agree(t, "taken", run(t, m, ort.OptimizeOff, in), want, 0)
		op := map[bool]string{true: "Add", false: "Sub"}[taken]
		if got := census(m); got["If"] != 0 || got[op] != 3 {
			t.Errorf("left: %v, want 3 %s", got, op)
		}
	}
}
