//go:build !lite

package torch_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"graft/graph"
	"graft/train/torch"
)

// built makes a model of opset 23 of what f writes.
func built(f func(b *graph.Builder)) *graph.Model {
	g := &graph.Graph{Name: "test"}
	f(graph.NewBuilder(g, nil))
	return &graph.Model{Opsets: []graph.Opset{{Version: 23}}, Graph: g}
}

// vectorOf is the float input x of shape [2 3].
func vectorOf(b *graph.Builder) *graph.Value {
	return b.Input("x", graph.TensorType(graph.Float, graph.Size(2), graph.Size(3)))
}

func TestCompileErrors(t *testing.T) {
	for _, test := range []struct {
		name  string
		o     torch.CompileOptions
		build func(b *graph.Builder)
		want  string
	}{
		{"operators", torch.CompileOptions{}, func(b *graph.Builder) {
			x := vectorOf(b)
			y := b.Op("GRU", []*graph.Value{x})
			y = b.OpN("com.example", "Strange", 1, []*graph.Value{b.Op("GRU", []*graph.Value{y})})[0]
			b.Output("y", y, nil)
		}, `compile model: operators without an implementation here: GRU (2, first "GRU"), com.example.Strange (1, first "Strange")`},
		{"quantized", torch.CompileOptions{}, func(b *graph.Builder) {
			x := vectorOf(b)
			b.Output("y", b.Op("MatMulInteger", []*graph.Value{x, x}), nil)
		}, `compile model: operators without an implementation here: MatMulInteger (1, first "MatMulInteger"); a quantized model has no gradients`},
		{"output", torch.CompileOptions{Outputs: []string{"z"}}, func(b *graph.Builder) {
			b.Output("y", b.Op("Relu", []*graph.Value{vectorOf(b)}), nil)
		}, `compile model: the model has no output "z"; it has ["y"]`},
		{"constants", torch.CompileOptions{}, func(b *graph.Builder) {
			c := b.Const(graph.NewTensor("c", []float32{1, 2, 3, 4}, 2, 2))
			b.Scope("enc").Output("y", b.Scope("enc").Op("Gather", []*graph.Value{b.Op("Identity", []*graph.Value{b.Int64s(1)}), b.Int64(7)}), nil)
			b.Output("z", b.MatMul(vectorOf(b), c), nil)
		}, `compile model: run graph: node "enc/Gather" (Gather): `},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := torch.Compile(built(test.build), test.o)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}

// What goes wrong in a run names the node and frees what was there.
func TestRunErrors(t *testing.T) {
	m := built(func(b *graph.Builder) {
		x := vectorOf(b)
		b.Output("y", b.Scope("encoder.layer.0").MatMul(b.Op("Relu", []*graph.Value{x}), x), nil)
	})
	p := compiled(t, m, torch.CompileOptions{})
	defer torch.Lock()()
	before := torch.Live()
	s := torch.NewScope()
	if out := p.Run(s, map[string]*torch.Tensor{"x": s.Float32s(make([]float32, 6), 2, 3)}, torch.RunOptions{}); out != nil {
		t.Errorf("outputs %v", out)
	}
	want := `run graph: node "encoder/layer/0/MatMul" (MatMul): libtorch: matmul: `
	if s.Err() == nil || !strings.HasPrefix(s.Err().Error(), want) {
		t.Errorf("error %v, want %s…", s.Err(), want)
	}
	s.Close()
	if now := torch.Live(); now != before {
		t.Errorf("%d live tensors, were %d", now, before)
	}
	s = torch.NewScope()
	defer s.Close()
	p.Run(s, nil, torch.RunOptions{})
	if want := `run graph: no tensor for input "x"`; fmt.Sprint(s.Err()) != want {
		t.Errorf("error %v, want %s", s.Err(), want)
	}
}

// Parameters are the floats that are read, tied weights once, in the order of the initializers; scalars, masks, rotary
// tables and what is not read are none. Trainable and Weights follow the option.
func TestParameters(t *testing.T) {
	m := built(func(b *graph.Builder) {
		x := vectorOf(b)
		weight := func(name string, shape ...int64) *graph.Value {
			return b.Graph().AddInitializer(graph.NewTensor(name, slices.Repeat([]float32{0.5}, int(graph.Count(shape))), shape...))
		}
		bias, w := weight("bias", 3), weight("w", 3, 3)
		weight("unread", 3)
		y := b.Add(b.MatMul(x, b.Transpose(w, 1, 0)), bias)
		y = b.MatMul(y, w)
		angles := b.Mul(x, weight("table", 3))
		y = b.Mul(b.Add(y, b.Op("Cos", []*graph.Value{angles})), b.Scalar(2))
		b.Output("y", y, nil)
	})
	p := compiled(t, m, torch.CompileOptions{
		Trainable: func(name string) bool { return name == "w" }, FrozenDType: torch.BFloat16})
	var got []string
	for _, w := range p.Parameters() {
		got = append(got, fmt.Sprint(w.Name, " ", w.Trainable, " ", w.Tensor.RequiresGrad(), " ", w.Tensor))
	}
	want := []string{"bias false false float32[3]", "w true true float32[3 3]"}
	if !slices.Equal(got, want) {
		t.Errorf("parameters %q, want %q", got, want)
	}
	weights := p.Weights()
	if len(weights) != 1 || weights[0].Name != "w" || !slices.Equal(weights[0].Shape, []int64{3, 3}) {
		t.Fatalf("weights %v", weights)
	}
	nine, err := torch.FromFloat32([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9}, 3, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer nine.Free()
	if err := p.Parameters()[1].Tensor.CopyFrom(nine); err != nil {
		t.Fatal(err)
	}
	if values, err := weights[0].Float32s(); err != nil || !slices.Equal(values, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("the weight is %v, %v, not as it is now", values, err)
	}
	p.Close()
	if _, err := weights[0].Bytes(); err == nil || !strings.Contains(err.Error(), `read weight "w"`) {
		t.Errorf("read from a closed program: %v", err)
	}
}

// A matrix that does not train is kept in the type that is asked for, and what is computed with it keeps its type.
func TestFrozenDType(t *testing.T) {
	m := built(func(b *graph.Builder) {
		w := b.Graph().AddInitializer(graph.NewTensor("w", []float32{1, 2, 3, 4, 5, 6}, 2, 3))
		b.Output("y", b.MatMul(vectorOf(b), b.Transpose(w, 1, 0)), nil)
	})
	p := compiled(t, m, torch.CompileOptions{Trainable: func(string) bool { return false }, FrozenDType: torch.BFloat16})
	if d := p.Parameters()[0].Tensor.DType(); d != torch.BFloat16 {
		t.Errorf("kept as %v", d)
	}
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	y := p.Run(s, map[string]*torch.Tensor{"x": s.Float32s([]float32{1, 1, 1, 1, 0, 0}, 2, 3)}, torch.RunOptions{})["y"]
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	got, err := y.Float32s()
	if err != nil || y.DType() != torch.Float32 || !slices.Equal(got, []float32{6, 15, 1, 4}) {
		t.Errorf("%v %v, %v", y, got, err)
	}
}

// A bias that attention computes from tokens is made of weights, and so is what a bias looks up; what masks keys is none, even where
// it takes its shape from the scores. Nor are tables of sines and cosines, beside one another or apart.
func TestParametersOfMasks(t *testing.T) {
	m := built(func(b *graph.Builder) {
		ids := b.Input("ids", graph.TensorType(graph.Int64, graph.Symbol("batch"), graph.Symbol("sequence")))
		weight := func(name string, shape ...int64) *graph.Value {
			numbers := make([]float32, graph.Count(shape))
			for i := range numbers {
				numbers[i] = float32(i%7)/7 - 0.4
			}
			return b.Graph().AddInitializer(graph.NewTensor(name, numbers, shape...))
		}
		look := func(table, at *graph.Value) *graph.Value {
			return b.Op("Gather", []*graph.Value{table, at}, graph.IntAttr("axis", 0))
		}
		wave := func(name string, both bool) *graph.Value {
			rows := make([]float32, 4*8)
			for i := range rows {
				angle := float64(i/8) / float64(1+i%4)
				rows[i] = float32(math.Cos(angle))
				if both && i%8 >= 4 || name == "sines" {
					rows[i] = float32(math.Sin(angle))
				}
			}
			return b.Graph().AddInitializer(graph.NewTensor(name, rows, 4, 8))
		}
		x := look(weight("words", 9, 8), ids)
		x = b.Add(x, look(wave("sines and cosines", true), ids))
		x = b.Add(b.Mul(x, look(wave("cosines", false), ids)), look(wave("sines", false), ids))
		q := b.Add(b.MatMul(x, weight("query", 8, 8)), weight("query.bias", 8))
		scores := b.MatMul(q, b.Transpose(b.Op("Identity", []*graph.Value{x}), 0, 2, 1))
		hidden := b.Op("Expand", []*graph.Value{weight("mask", 1, 4), b.Op("Shape", []*graph.Value{scores})})
		distance := b.Transpose(look(weight("distances", 9, 1), ids), 0, 2, 1)
		bias := b.Unsqueeze(b.Add(b.Add(scores, hidden), distance), 1)
		y := b.Op("Attention", []*graph.Value{x, x, x, bias}, graph.IntAttr("q_num_heads", 2), graph.IntAttr("kv_num_heads", 2))
		b.Output("y", y, nil)
	})
	var got []string
	for _, w := range compiled(t, m, torch.CompileOptions{}).Parameters() {
		got = append(got, w.Name)
	}
	if want := []string{"words", "query", "query.bias", "distances"}; !slices.Equal(got, want) {
		t.Errorf("parameters %q, want %q", got, want)
	}
}

// A mask hides keys in the branch of an If as it does outside.
func TestMaskInBranch(t *testing.T) {
	attention := func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
		return b.Op("Attention", []*graph.Value{x, x, x, mask}, graph.IntAttr("q_num_heads", 1), graph.IntAttr("kv_num_heads", 1))
	}
	m := built(func(b *graph.Builder) {
		x := b.Input("x", graph.TensorType(graph.Float, graph.Size(1), graph.Size(3), graph.Size(2)))
		real := b.Input("attention_mask", graph.TensorType(graph.Int64, graph.Size(1), graph.Size(3)))
		mask := b.Unsqueeze(b.Cast(real, graph.Bool), 1, 2)
		in := graph.NewBuilder(&graph.Graph{Name: "then"}, nil).Scope("then")
		in.Graph().Outputs = []*graph.Value{attention(in, x, mask)}
		other := graph.NewBuilder(&graph.Graph{Name: "else"}, nil).Scope("else")
		other.Graph().Outputs = []*graph.Value{other.Op("Neg", []*graph.Value{x})}
		cond := b.Op("Greater", []*graph.Value{b.Op("ReduceMax", []*graph.Value{real}, graph.IntAttr("keepdims", 0)), b.Int64(0)})
		b.Output("outside", attention(b, x, mask), nil)
		b.Output("inside", b.Op("If", []*graph.Value{cond}, graph.GraphAttr("then_branch", in.Graph()), graph.GraphAttr("else_branch", other.Graph())), nil)
	})
	p := compiled(t, m, torch.CompileOptions{})
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	out := p.Run(s, map[string]*torch.Tensor{"x": s.Float32s([]float32{1, 2, 3, -1, 0, 5}, 1, 3, 2), "attention_mask": s.Int64s([]int64{1, 1, 0}, 1, 3)}, torch.RunOptions{})
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	want, err := out["outside"].Float32s()
	if err != nil {
		t.Fatal(err)
	}
	got, err := out["inside"].Float32s()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("inside %v, outside %v: %v", got, want, err)
	}
}
