package quantize

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"graft/graph"
	"graft/runtime/ort"
)

// x, W and what is made of them in linear/: onnxruntime.quantization's scales, codes and results.
func TestStaticIsONNXRuntimes(t *testing.T) {
	in, want := openTensors(t, "linear", "tensors.safetensors"), openTensors(t, "linear", "matmul_only_no_output_q.safetensors")
	var l limits
	for _, f := range in.floats("x") {
		l.include(f)
	}
	m := applied(t, readModel(t, "linear", "fp32.onnx"), "int8-static", TensorRT, &calibration{ranges: map[string]limits{"x": l}})
	for _, name := range []string{"W_scale", "x_scale"} {
		near(t, name, initializer(t, m, name), want.floats(name), scaleTolerance)
	}
	for _, name := range []string{"W_quantized", "W_zero_point", "x_zero_point"} {
		sameCodes(t, name, rawBytes(t, m, name), want.bytes(name))
	}
	x := map[string]ort.Array{"x": {Type: ort.Float, Shape: []int64{6, 64}, Data: in.floats("x")}}
	got := run(t, m, ort.OptimizeOff, x)["y"].Data.([]float32)
	near(t, "y", got, want.floats("output.disable_all"), linearTolerance)
}

// The zero point of uint8 is onnxruntime's of int8, moved by 128.
func TestAsymmetricRangeIsONNXRuntimes(t *testing.T) {
	in, want := openTensors(t, "linear", "tensors.safetensors"), openTensors(t, "linear", "default.safetensors")
	var l limits
	for _, f := range in.floats("x") {
		l.include(f)
	}
	scale, zero := l.asymmetric()
	near(t, "x_scale", []float32{scale}, want.floats("x_scale"), scaleTolerance)
	if z := int(int8(want.bytes("x_zero_point")[0])) + 128; int(zero) != z {
		t.Errorf("zero point %d, want %d", zero, z)
	}
}

func TestWeightOnlyIsONNXRuntimes(t *testing.T) {
	in := openTensors(t, "linear", "tensors.safetensors")
	m := applied(t, readModel(t, "linear", "fp32.onnx"), "int8-weight", OpenVINO, &calibration{})
	near(t, "scales", initializer(t, m, "W_scale"), in.floats("weight_only_int8_scale"), scaleTolerance)
	sameCodes(t, "codes", rawBytes(t, m, "W_quantized"), in.bytes("weight_only_int8_q"))
	x := map[string]ort.Array{"x": {Type: ort.Float, Shape: []int64{6, 64}, Data: in.floats("x")}}
	near(t, "y", run(t, m, ort.OptimizeOff, x)["y"].Data.([]float32), in.floats("weight_only_int8_y.disable_all"), linearTolerance)
}

// Packed codes, scales and zero points of MatMulNBits are those of ONNX Runtime's quantizer, and so
// is what is computed.
func TestBlocksAreONNXRuntimes(t *testing.T) {
	in := openTensors(t, "nbits", "tensors.safetensors")
	for _, c := range []struct {
		name       string
		bits       int
		asymmetric bool
	}{{"b4_sym", 4, false}, {"b4_asym", 4, true}, {"b8_sym", 8, false}, {"b8_asym", 8, true}} {
		t.Run(c.name, func(t *testing.T) {
			const k, n = 96, 20
			b := blocking{k: k, n: n, size: 32, bits: c.bits, asymmetric: c.asymmetric}
			q, e, err := b.whole(graph.Transpose(graph.NewTensor("W", in.floats("W"), k, n)))
			if err != nil {
				t.Fatal(err)
			}
			if want := relativeError(in.floats("W"), q.values()); math.Abs(e-want) > 1e-9 {
				t.Errorf("relative error %g, of the values %g", e, want)
			}
			sameCodes(t, "B", q.packed(), in.bytes(c.name+".B"))
			near(t, "scales", q.scales, in.floats(c.name+".scales"), scaleTolerance)
			if c.asymmetric {
				sameCodes(t, "zero points", q.packedZeros(), in.bytes(c.name+".zero_points"))
			}
			m := readModel(t, "nbits", c.name+".onnx")
			g := m.Graph
			node := graph.NewNode("MatMul", []*graph.Value{g.Nodes[0].Inputs[0], nil}, []*graph.Value{g.Nodes[0].Outputs[0]})
			g.Nodes[0] = node
			mat := &matrix{name: "W", weight: graph.NewValue("W", nil), k: k, n: n, nodes: []*graph.Node{node}}
			g.Initializers = g.Initializers[:1] // the bias
			(&job{model: m}).storeBlocks(mat, b, finished(q.parts(), e).data())
			x := map[string]ort.Array{"x": {Type: ort.Float, Shape: []int64{6, k}, Data: in.floats("x")}}
			near(t, "y", run(t, m, ort.OptimizeAll, x)["y"].Data.([]float32), in.floats(c.name+".y.enable_all"), linearTolerance)
		})
	}
}

// bertTolerance is of outputs behind two layers: a code that a tie rounds otherwise moves them.
const bertTolerance = 2e-2

// A whole BERT, calibrated here: the scales, codes and outputs of onnxruntime.quantization.
func TestStaticBERTIsONNXRuntimes(t *testing.T) {
	in, want := openTensors(t, "bert", "tensors.safetensors"), openTensors(t, "bert", "qdq_linear_sym_no_output_q.safetensors")
	inputs := bertInputs(t, in)
	p, err := New(context.Background(), readModel(t, "bert", "fp32.onnx"), Options{
		Scheme: "int8-static", Target: TensorRT, Activations: replay{t: t, inputs: inputs}, Exclude: regexp.MustCompile("^(word|pos|types)$"),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := p.Apply()
	raw, err := os.ReadFile(filepath.Join(goldens, "bert", "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Variants map[string]struct {
			Shapes map[string][]any `json:"shapes"`
		} `json:"variants"`
	}
	if err := json.Unmarshal(raw, &expected); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, kind := range expected.Variants["qdq_linear_sym_no_output_q"].Shapes {
		switch {
		case name == "output.disable_all" || name == "output.enable_all":
		case fmt.Sprint(kind[0]) == "float32":
			near(t, name, initializer(t, m, name), want.floats(name), scaleTolerance)
			compared++
		default:
			sameCodes(t, name, rawBytes(t, m, name), want.bytes(name))
			compared++
		}
	}
	if compared < 12*3+8*2 {
		t.Errorf("%d tensors were compared", compared)
	}
	exact := in.floats("last_hidden_state_fp32")
	ours := run(t, m, ort.OptimizeOff, inputs)["last_hidden_state"].Data.([]float32)
	if a, b := relativeError(exact, ours), relativeError(exact, want.floats("output.disable_all")); !(a < b) {
		t.Errorf("relative error to float32 %g, onnxruntime's %g", a, b)
	}
	roundResidual(m.Graph)
	for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
		got := run(t, m, level, inputs)["last_hidden_state"].Data.([]float32)
		near(t, "output, "+string(level), got, want.floats("output.disable_all"), bertTolerance)
	}
}

// roundResidual has every reader of a value that is quantized read its rounded form, as
// onnxruntime.quantization leaves it; here sums keep the value in float32.
func roundResidual(g *graph.Graph) {
	for _, dq := range g.Nodes {
		q := dq.Input(0).Def()
		if !dq.Is("DequantizeLinear") || !q.Is("QuantizeLinear") {
			continue
		}
		for _, n := range g.Nodes {
			for i, v := range n.Inputs {
				if n != q && v == q.Inputs[0] {
					n.Inputs[i] = dq.Outputs[0]
				}
			}
		}
	}
	if err := g.Sort(); err != nil {
		panic(err)
	}
}

func bertInputs(t *testing.T, in tensors) map[string]ort.Array {
	inputs := map[string]ort.Array{"token_type_ids": {Type: ort.Int64, Shape: []int64{4, 12}, Data: make([]int64, 48)}}
	for _, name := range []string{"input_ids", "attention_mask"} {
		v := &graph.Tensor{Name: name, DType: graph.Int64, Shape: []int64{48}, Data: graph.Raw(in.bytes(name))}
		data, err := v.Int64s()
		if err != nil {
			t.Fatal(err)
		}
		inputs[name] = ort.Array{Type: ort.Int64, Shape: []int64{4, 12}, Data: data}
	}
	return inputs
}

func initializer(t *testing.T, m *graph.Model, name string) []float32 {
	t.Helper()
	v := m.Graph.Initializer(name)
	if v == nil {
		t.Fatalf("no initializer %q", name)
	}
	x, err := v.Init.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func rawBytes(t *testing.T, m *graph.Model, name string) []byte {
	t.Helper()
	v := m.Graph.Initializer(name)
	if v == nil {
		t.Fatalf("no initializer %q", name)
	}
	x, err := v.Init.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return x
}
