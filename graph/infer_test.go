package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"graft/graph"
)

// listing makes a model from lines such as "q = MatMul(x, w)"; a name that no line writes is a
// value of vals.
type listing struct {
	b    *graph.Builder
	vals map[string]*graph.Value
}

func newListing(inputs map[string]*graph.Type) *listing {
	l := &listing{graph.NewBuilder(&graph.Graph{Name: "main"}, nil), map[string]*graph.Value{}}
	for name, t := range inputs {
		l.vals[name] = l.b.Input(name, t)
	}
	return l
}

func (l *listing) model() *graph.Model {
	return &graph.Model{Graph: l.b.Graph(), Opsets: []graph.Opset{{Version: 23}, {Domain: graph.Microsoft, Version: 1}}}
}

func ids() *graph.Type {
	return graph.TensorType(graph.Int64, graph.Symbol("batch"), graph.Symbol("sequence"))
}

func float(dims ...graph.Dim) *graph.Type { return graph.TensorType(graph.Float, dims...) }

// wantType checks a value's inferred type, written as the printer writes it.
func wantType(t *testing.T, v *graph.Value, want string) {
	t.Helper()
	if got := v.Type.String(); got != want {
		t.Errorf("%s is %s, want %s", v.Name, got, want)
	}
}

// Attention as PyTorch exports it: sizes by way of Shape, Gather, Unsqueeze and Concat.
func TestInferKeepsSymbolsThroughReshapes(t *testing.T) {
	b, s := graph.Size, graph.Symbol
	l := newListing(map[string]*graph.Type{"x": float(s("batch"), s("sequence"), b(384))})
	x, g := l.vals["x"], l.b
	shape := g.Op("Shape", []*graph.Value{x})
	batch := g.Unsqueeze(g.Op("Gather", []*graph.Value{shape, g.Int64(0)}), 0)
	length := g.Op("Slice", []*graph.Value{shape, g.Int64s(1), g.Int64s(2)})
	split := g.Op("Concat", []*graph.Value{batch, length, g.Int64s(12), g.Int64s(-1)}, graph.IntAttr("axis", 0))
	q := g.Op("Reshape", []*graph.Value{x, split})
	heads := g.Transpose(q, 0, 2, 1, 3)
	scores := g.MatMul(heads, g.Transpose(heads, 0, 1, 3, 2))
	flat := g.Reshape(x, -1, 384)
	merged := g.Op("Concat", []*graph.Value{x, x}, graph.IntAttr("axis", 1))
	count := g.Op("ReduceProd", []*graph.Value{shape}, graph.IntAttr("keepdims", 1))
	line := g.Op("Reshape", []*graph.Value{x, count})
	back := g.Reshape(flat, -1, 12, 32)
	pos := g.Op("Range", []*graph.Value{g.Int64(0), g.Squeeze(length, 0), g.Int64(1)})
	m := l.model()
	if err := graph.Infer(m); err != nil {
		t.Fatal(err)
	}
	wantType(t, q, "FLOAT[batch sequence 12 32]")
	wantType(t, scores, "FLOAT[batch 12 sequence sequence]")
	wantType(t, flat, "FLOAT[batch*sequence 384]")
	wantType(t, merged, "FLOAT[batch 2*sequence 384]")
	wantType(t, line, "FLOAT[384*batch*sequence]")
	wantType(t, back, "FLOAT[batch*sequence 12 32]")
	wantType(t, pos, "INT64[sequence]")
}

// A mask made by Expand of what Where chooses when the target size is -1, a cut of stored
// position ids, and sums of symbols as decoders with a cache have them.
func TestInferExporterIdioms(t *testing.T) {
	l := newListing(map[string]*graph.Type{"ids": ids(), "past": float(graph.Symbol("batch"), graph.Size(4), graph.Symbol("past"), graph.Size(8))})
	g, x, past := l.b, l.vals["ids"], l.vals["past"]
	target := g.Op("Concat", []*graph.Value{g.Size(x, 0), g.Int64s(1), g.Size(x, 1), g.Size(x, 1)}, graph.IntAttr("axis", 0))
	ones := g.Op("ConstantOfShape", []*graph.Value{g.Int64s(4)}, graph.TensorAttr("value", graph.NewTensor("", []int64{1}, 1)))
	unset := g.Op("Equal", []*graph.Value{target, g.Mul(ones, g.Int64(-1))})
	mask := g.Op("Expand", []*graph.Value{g.Int64(1), g.Where(unset, ones, target)})
	table := g.Const(graph.NewTensor("position_ids", make([]int64, 512), 1, 512))
	positions := g.Op("Slice", []*graph.Value{table, g.Int64s(0), g.Size(x, 1), g.Int64s(1)})
	cls := g.Slice(x, 1, 0, 1)
	rest := g.Slice(x, 1, 1, 1<<62)
	now := g.Unsqueeze(g.Unsqueeze(g.Cast(x, graph.Float), 1), -1)
	wide := g.Op("Expand", []*graph.Value{now, g.Int64s(1, 4, 1, 8)})
	cache := g.Op("Concat", []*graph.Value{past, wide}, graph.IntAttr("axis", 2))
	total := g.Add(g.Size(past, 2), g.Size(x, 1))
	window := g.Op("Expand", []*graph.Value{g.Int64(1), total})
	if err := graph.Infer(l.model()); err != nil {
		t.Fatal(err)
	}
	wantType(t, mask, "INT64[batch 1 sequence sequence]")
	wantType(t, positions, "INT64[1 sequence]")
	wantType(t, cls, "INT64[batch 1]")
	wantType(t, rest, "INT64[batch sequence - 1]")
	wantType(t, cache, "FLOAT[batch 4 past + sequence 8]")
	wantType(t, window, "INT64[past + sequence]")
}

func TestInferBroadcast(t *testing.T) {
	b, s := graph.Size, graph.Symbol
	for _, c := range []struct {
		x, y graph.Dim
		want string
	}{
		{s("n"), s("n"), "n"}, {s("n"), b(1), "n"}, {b(1), s("n"), "n"}, {s("n"), b(7), "7"}, {b(7), s("n"), "7"},
		{s("n"), s("m"), "?"}, {b(1), b(1), "1"}, {graph.AnyDim, b(1), "?"}, {b(0), b(1), "0"},
	} {
		l := newListing(map[string]*graph.Type{"x": float(c.x, b(3)), "y": float(c.y, b(1))})
		sum := l.b.Add(l.vals["x"], l.vals["y"])
		if err := graph.Infer(l.model()); err != nil {
			t.Errorf("%v + %v: %v", c.x, c.y, err)
			continue
		}
		wantType(t, sum, "FLOAT["+c.want+" 3]")
	}
}

func TestInferContradictions(t *testing.T) {
	b := graph.Size
	two := func(x, y *graph.Type, op string, attrs ...graph.Attr) error {
		l := newListing(map[string]*graph.Type{"x": x, "y": y})
		l.b.Op(op, []*graph.Value{l.vals["x"], l.vals["y"]}, attrs...)
		return graph.Infer(l.model())
	}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{two(float(b(2), b(3)), float(b(4), b(5)), "MatMul"), []string{`node "MatMul" (MatMul)`, "FLOAT[2 3]", "FLOAT[4 5]", "3 and 4"}},
		{two(float(b(2)), float(b(3)), "Add"), []string{"sizes 2 and 3 do not broadcast"}},
		{two(float(b(2), b(3)), float(b(3), b(2)), "Concat", graph.IntAttr("axis", 0)), []string{"[2 3]", "differ on axis 1"}},
		{two(float(b(2), b(3)), float(b(9)), "Concat", graph.IntAttr("axis", 5)), []string{"axis 5 of a tensor of rank 2"}},
		{two(float(b(2), b(3)), float(b(4)), "RMSNormalization"), []string{"scale or bias [4]", "[2 3]"}},
	} {
		for _, w := range c.want {
			if c.err == nil || !strings.Contains(c.err.Error(), w) {
				t.Errorf("error %v, want %q in it", c.err, w)
			}
		}
	}
}

func TestInferReshapeContradiction(t *testing.T) {
	for target, want := range map[string]string{"[4 -1]": "not a multiple of 4", "[5]": "6 elements", "[-1 -1]": "-1 on axes 0 and 1", "[-2]": "target size -2"} {
		l := newListing(map[string]*graph.Type{"x": float(graph.Size(2), graph.Size(3))})
		var dims []int64
		for _, f := range strings.Fields(strings.Trim(target, "[]")) {
			var n int64
			fmt.Sscan(f, &n)
			dims = append(dims, n)
		}
		l.b.Reshape(l.vals["x"], dims...)
		if err := graph.Infer(l.model()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("reshape [2 3] to %s: %v, want %q", target, err, want)
		}
	}
}

// An operator that the table does not have says nothing, and no error.
func TestInferUnknownOp(t *testing.T) {
	l := newListing(map[string]*graph.Type{"ids": ids()})
	y := l.b.OpN("my.domain", "Mystery", 1, []*graph.Value{l.vals["ids"]})[0]
	z := l.b.Op("Relu", []*graph.Value{y})
	if err := graph.Infer(l.model()); err != nil {
		t.Fatal(err)
	}
	if y.Type != nil || z.Shape() != nil || z.DType() != graph.Undefined {
		t.Errorf("types %v and %v, want nothing", y.Type, z.Type)
	}
}

// A function's body is inferred for each call, with the caller's attributes.
func TestInferFunction(t *testing.T) {
	body := graph.NewBuilder(&graph.Graph{Name: "f"}, nil)
	in := body.Input("a", nil)
	out := body.Op("Flatten", []*graph.Value{in}, graph.Attr{Name: "axis", Kind: graph.AttrInt, Ref: "at"})
	body.Graph().Outputs = []*graph.Value{out}
	l := newListing(map[string]*graph.Type{"x": float(graph.Symbol("n"), graph.Size(3), graph.Size(4)), "y": float(graph.Size(2), graph.Size(5))})
	u := l.b.OpN("local", "F", 1, []*graph.Value{l.vals["x"]}, graph.IntAttr("at", 2))[0]
	v := l.b.OpN("local", "F", 1, []*graph.Value{l.vals["y"]})[0]
	m := l.model()
	m.Functions = []*graph.Function{{Name: "F", Domain: "local", Opsets: []graph.Opset{{Version: 23}}, Defaults: []graph.Attr{graph.IntAttr("at", 0)}, Body: body.Graph()}}
	if err := graph.Infer(m); err != nil {
		t.Fatal(err)
	}
	wantType(t, u, "FLOAT[3*n 4]")
	wantType(t, v, "FLOAT[1 10]")
	if out.Type != nil {
		t.Errorf("the function's own value has type %v, want none: it serves many calls", out.Type)
	}
}

// ONNX Runtime's fused operators, in the layouts that its optimizer writes.
func TestInferFused(t *testing.T) {
	b, s := graph.Size, graph.Symbol
	x := float(s("batch"), s("sequence"), b(64))
	n := graph.IntAttr("num_heads", 4)
	for _, c := range []struct {
		op    string
		in    []*graph.Type
		attrs []graph.Attr
		want  []string
	}{
		{"Attention", []*graph.Type{x, float(b(64), b(192))}, []graph.Attr{n}, []string{"FLOAT[batch sequence 64]", "FLOAT[2 batch 4 sequence 16]"}},
		{"MultiHeadAttention", []*graph.Type{x, x, x}, []graph.Attr{n}, []string{"FLOAT[batch sequence 64]"}},
		{"GroupQueryAttention", []*graph.Type{x, float(s("batch"), s("sequence"), b(32)), float(s("batch"), s("sequence"), b(32)), nil, nil,
			graph.TensorType(graph.Int32, s("batch")), graph.TensorType(graph.Int32)}, []graph.Attr{n, graph.IntAttr("kv_num_heads", 2)},
			[]string{"FLOAT[batch sequence 64]", "FLOAT[batch 2 ? 16]"}},
		{"SkipLayerNormalization", []*graph.Type{x, x, float(b(64))}, nil, []string{"FLOAT[batch sequence 64]", "FLOAT[batch sequence 1]", "FLOAT[batch sequence 1]", "FLOAT[batch sequence 64]"}},
		{"EmbedLayerNormalization", []*graph.Type{graph.TensorType(graph.Int32, s("batch"), s("sequence")), nil, float(b(100), b(64)), float(b(9), b(64)), nil, float(b(64)), float(b(64))}, nil,
			[]string{"FLOAT[batch sequence 64]", "INT32[batch]"}},
		{"FusedMatMul", []*graph.Type{x, x}, []graph.Attr{graph.IntAttr("transB", 1)}, []string{"FLOAT[batch sequence sequence]"}},
		{"MatMulNBits", []*graph.Type{x, graph.TensorType(graph.Uint8, b(7), b(2), b(16)), float(b(14))}, []graph.Attr{graph.IntAttr("K", 64), graph.IntAttr("N", 7)}, []string{"FLOAT[batch sequence 7]"}},
		{"GatherBlockQuantized", []*graph.Type{graph.TensorType(graph.Uint8, b(100), b(32)), ids(), float(b(100), b(2))}, nil, []string{"FLOAT[batch sequence 64]"}},
		{"MatMulIntegerToFloat", []*graph.Type{graph.TensorType(graph.Uint8, s("batch"), b(8)), graph.TensorType(graph.Int8, b(8), b(5)), float(), float()}, nil, []string{"FLOAT[batch 5]"}},
		{"DynamicQuantizeMatMul", []*graph.Type{x, graph.TensorType(graph.Int8, b(64), b(5)), float()}, nil, []string{"FLOAT[batch sequence 5]"}},
	} {
		l := newListing(nil)
		var in []*graph.Value
		for i, typ := range c.in {
			if typ == nil {
				in = append(in, nil)
				continue
			}
			in = append(in, l.b.Input(fmt.Sprint("in", i), typ))
		}
		out := l.b.OpN(graph.Microsoft, c.op, len(c.want), in, c.attrs...)
		m := l.model()
		if err := graph.Infer(m); err != nil {
			t.Errorf("%s: %v", c.op, err)
			continue
		}
		for i, want := range c.want {
			wantType(t, out[i], want)
		}
		if err := graph.Check(m); err != nil && !strings.Contains(err.Error(), "EmbedLayerNormalization") {
			t.Error(err)
		}
	}
}

// An output keeps the names that it was declared with.
func TestInferKeepsOutputNames(t *testing.T) {
	l := newListing(map[string]*graph.Type{"ids": ids()})
	y := l.b.Op("Transpose", []*graph.Value{l.vals["ids"]})
	l.b.Output("out", y, graph.TensorType(graph.Int64, graph.Symbol("tokens"), graph.AnyDim))
	if err := graph.Infer(l.model()); err != nil {
		t.Fatal(err)
	}
	wantType(t, y, "INT64[tokens batch]")
}

// Integer sums and products, which the reference library's tests do not have.
func TestReduceIntegers(t *testing.T) {
	x := graph.NewTensor("x", []int64{1, 2, 3, 4, 5, 6}, 2, 3)
	for op, want := range map[string][]int64{"ReduceSum": {6, 15}, "ReduceProd": {6, 120}} {
		n := graph.NewNode(op, []*graph.Value{{Init: x}, {}}, []*graph.Value{graph.NewValue("y", nil)}, graph.IntAttr("keepdims", 0))
		out, err := graph.Evaluate(n, 18, []*graph.Tensor{x, graph.NewTensor("axes", []int64{1}, 1)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := out[0].Int64s()
		if err != nil || !slices.Equal(got, want) || !slices.Equal(out[0].Shape, []int64{2}) {
			t.Errorf("%s of %v over axis 1: %v %v (%v), want %v", op, x.Shape, out[0].Shape, got, err, want)
		}
	}
}

// A large transposed weight is computed when it is read, and is right.
func TestTransposeIsDerived(t *testing.T) {
	const rows, cols = 300, 500
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(i)
	}
	n := graph.NewNode("Transpose", []*graph.Value{{}}, []*graph.Value{graph.NewValue("y", nil)})
	out, err := graph.Evaluate(n, 13, []*graph.Tensor{graph.NewTensor("w", data, rows, cols)})
	if err != nil {
		t.Fatal(err)
	}
	if _, held := out[0].Data.(graph.Raw); held {
		t.Error("the transpose was made at once")
	}
	got, err := out[0].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		for j := range cols {
			if got[j*rows+i] != data[i*cols+j] {
				t.Fatalf("element %d, %d is %v, want %v", j, i, got[j*rows+i], data[i*cols+j])
			}
		}
	}
}

// A double is rounded to a half once, not by way of a float.
func TestCastDoubleToHalf(t *testing.T) {
	x := graph.NewTensor("x", []float64{1 + 0x1p-11 + 0x1p-40, -(1 + 0x1p-11 + 0x1p-40), 1 + 0x1p-11, 1 + 0x3p-11 - 0x1p-40, 1e300}, 5)
	n := graph.NewNode("Cast", []*graph.Value{{}}, []*graph.Value{graph.NewValue("y", nil)}, graph.IntAttr("to", int64(graph.Float16)))
	out, err := graph.Evaluate(n, 13, []*graph.Tensor{x})
	if err != nil {
		t.Fatal(err)
	}
	b, err := out[0].Bytes()
	if want := "\x01\x3c\x01\xbc\x00\x3c\x01\x3c\x00\x7c"; err != nil || string(b) != want {
		t.Errorf("% x (%v), want % x", b, err, want)
	}
}

// Rounding to half precision, checked against every half.
func TestFloat16RoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		f := graph.Float16ToFloat32(uint16(h))
		if f != f {
			continue
		}
		if got := graph.Float32ToFloat16(f); got != uint16(h) {
			t.Fatalf("%#04x becomes %v and %#04x", h, f, got)
		}
	}
	for f, want := range map[float32]uint16{65520: 0x7c00, 65519: 0x7bff, 1 + 1.0/2048: 0x3c00, 1 + 3.0/2048: 0x3c02, 3e-8: 1, 2.9e-8: 0} {
		if got := graph.Float32ToFloat16(f); got != want {
			t.Errorf("%v becomes %#04x, want %#04x", f, got, want)
		}
	}
}
