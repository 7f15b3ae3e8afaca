package quantize

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/onnx"
	"graft/runtime/ort"
)

var goldens = filepath.Join("..", "testdata", "quant")

// tensors are those of a golden file.
type tensors struct {
	t    *testing.T
	file *safetensors.Checkpoint
}

func openTensors(t *testing.T, path ...string) tensors {
	t.Helper()
	c, err := safetensors.Open(filepath.Join(append([]string{goldens}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return tensors{t, c}
}

func (f tensors) tensor(name string) *safetensors.Tensor {
	f.t.Helper()
	x := f.file.Tensor(name)
	if x == nil {
		f.t.Fatalf("no tensor %q", name)
	}
	return x
}

func (f tensors) floats(name string) []float32 {
	f.t.Helper()
	x, err := f.tensor(name).Float32()
	if err != nil {
		f.t.Fatal(err)
	}
	return x
}

func (f tensors) bytes(name string) []byte {
	f.t.Helper()
	x, err := f.tensor(name).Bytes()
	if err != nil {
		f.t.Fatal(err)
	}
	return x
}

// scaleTolerance is relative, of float32's rounding; outputs have sums of such.
const (
	scaleTolerance  = 1e-6
	linearTolerance = 1e-4
)

// near compares element by element, with a tolerance that is absolute below 1 and relative above.
func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= tolerance*max(1, math.Abs(float64(want[i])))) {
			t.Errorf("%s: element %d is %g, want %g", what, i, got[i], want[i])
			return
		}
	}
}

// sameCodes compares bytes; ties may be rounded otherwise in a few of a thousand.
func sameCodes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d bytes, want %d", what, len(got), len(want))
	}
	other := 0
	for i := range got {
		if got[i] != want[i] {
			other++
		}
	}
	if other > len(got)/200 {
		t.Errorf("%s: %d of %d bytes differ", what, other, len(got))
	}
}

func readModel(t *testing.T, path ...string) *graph.Model {
	t.Helper()
	m, err := onnx.Read(filepath.Join(append([]string{goldens}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// run computes m's outputs on ONNX Runtime's CPU provider.
func run(t *testing.T, m *graph.Model, level ort.Level, inputs map[string]ort.Array) map[string]ort.Array {
	t.Helper()
	p, err := ort.ProviderNamed("cpu")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Missing()...); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	var b bytes.Buffer
	if err := onnx.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	s, err := ort.OpenBytes(b.Bytes(), nil, ort.Options{Optimization: level, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.RunArrays(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// replay is Activations that runs a graph on one batch of inputs, all tokens of which are real where
// mask is nil.
type replay struct {
	t      *testing.T
	inputs map[string]ort.Array
	mask   []int64
}

func (r replay) Record(_ context.Context, m *graph.Model, values []*graph.Value, use func([]int64, [][]float32) error) error {
	probed := m.Clone()
	g := probed.Graph
	b := graph.NewBuilder(g, nil)
	g.Outputs = nil
	for i, v := range values {
		inside := valueNamed(g, v.Name)
		b.Output(output(i), b.Cast(inside, graph.Float), graph.TensorType(graph.Float, graph.AnyDim, graph.AnyDim, graph.AnyDim))
	}
	out := run(r.t, probed, ort.OptimizeAll, r.inputs)
	mask := r.mask
	if mask == nil {
		shape := r.inputs["input_ids"].Shape
		mask = make([]int64, shape[0]*shape[1])
		for i := range mask {
			mask[i] = 1
		}
	}
	got := make([][]float32, len(values))
	for i := range values {
		got[i] = out[output(i)].Data.([]float32)
	}
	return use(mask, got)
}

func (r replay) Products(ctx context.Context, m *graph.Model, values []*graph.Value) (sums [][]float32, tokens int, err error) {
	sums = make([][]float32, len(values))
	err = r.Record(ctx, m, values, func(mask []int64, batch [][]float32) error {
		for i, x := range batch {
			sums[i] = selfProduct(x, len(x)/len(mask), mask)
		}
		for _, real := range mask {
			tokens += int(real)
		}
		return nil
	})
	return sums, tokens, err
}

// selfProduct is xᵀ·x over the rows at which mask is 1.
func selfProduct(x []float32, k int, mask []int64) []float32 {
	sum := make([]float32, k*k)
	for t, real := range mask {
		row := x[t*k:][:k]
		for i, a := range row {
			for j, b := range row {
				sum[i*k+j] += float32(real) * a * b
			}
		}
	}
	return sum
}

func output(i int) string { return "recorded." + string(rune('a'+i/26)) + string(rune('a'+i%26)) }

func valueNamed(g *graph.Graph, name string) *graph.Value {
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if v != nil && v.Name == name {
				return v
			}
		}
	}
	return nil
}

// applied is an attempt of a scheme on m with given ranges.
func applied(t *testing.T, m *graph.Model, scheme string, target Target, c *calibration) *graph.Model {
	t.Helper()
	s, err := SchemeNamed(scheme)
	if err != nil {
		t.Fatal(err)
	}
	j, err := newJob(context.Background(), m, s, Options{Scheme: scheme, Target: target})
	if err != nil {
		t.Fatal(err)
	}
	j.calibration = c
	if err := j.attempt(); err != nil {
		t.Fatal(err)
	}
	return j.model
}
