package prune_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/prune"
	"graft/runtime"
	"graft/runtime/ort"
	"graft/runtime/tokenizer"
)

// fixture is a folder of testdata/prune (its README says how it was made).
type fixture struct {
	Influence []float64 `json:"block_influence"`
	Order     []int     `json:"order_least_important_first"`
	Dropped   []int
	Tolerance struct {
		Influence float64 `json:"block_influence_atol"`
		ATol      float64 `json:"hidden_atol"`
		RTol      float64 `json:"hidden_rtol"`
	}
	dir       string
	rows      []tokenizer.Encoding
	ids, mask []int64
	shape     []int64
	tensors   *safetensors.Checkpoint
}

func readFixture(t *testing.T, name string) *fixture {
	t.Helper()
	f := &fixture{dir: filepath.Join("..", "testdata", "prune", name)}
	raw, err := os.ReadFile(filepath.Join(f.dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, f); err != nil {
		t.Fatal(err)
	}
	if f.tensors, err = safetensors.Open(filepath.Join(f.dir, "expected.safetensors")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.tensors.Close() })
	f.ids, f.mask = f.ints(t, "input_ids"), f.ints(t, "attention_mask")
	f.shape = f.tensors.Tensor("input_ids").Shape
	for r := range int(f.shape[0]) {
		var row tokenizer.Encoding
		for c := range int(f.shape[1]) {
			if at := r*int(f.shape[1]) + c; f.mask[at] == 1 {
				row.IDs = append(row.IDs, int32(f.ids[at]))
			}
		}
		row.TypeIDs = make([]int32, len(row.IDs))
		f.rows = append(f.rows, row)
	}
	return f
}

func (f *fixture) ints(t *testing.T, name string) []int64 {
	t.Helper()
	x := f.tensors.Tensor(name)
	raw, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	v, err := (&graph.Tensor{DType: graph.Int64, Shape: x.Shape, Data: graph.Raw(raw)}).Int64s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// near compares hidden states at real tokens.
func (f *fixture) near(t *testing.T, what string, got []float32, name string) {
	t.Helper()
	want, err := f.tensors.Tensor(name).Float32()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	width := len(want) / len(f.mask)
	worst := 0.0
	for i := range want {
		if f.mask[i/width] == 1 {
			d := math.Abs(float64(got[i]) - float64(want[i]))
			worst = max(worst, d/(f.Tolerance.ATol+f.Tolerance.RTol*math.Abs(float64(want[i]))))
		}
	}
	if !(worst <= 1) {
		t.Errorf("%s: differs from %s by %.1f times the tolerance", what, name, worst)
	}
}

// needORT skips a test where ONNX Runtime is not here; under CI that is a failure.
func needORT(t *testing.T) {
	t.Helper()
	if _, err := ort.Libraries()[0].Path(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// openModel opens a model for the length of a test.
func openModel(t *testing.T, path string, o convert.OpenOptions) *convert.Model {
	t.Helper()
	m, err := convert.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// outputs runs a graph in the IR's form on ids and mask of the given shape.
func outputs(t *testing.T, m *graph.Model, ids, mask, shape []int64) map[string][]float32 {
	t.Helper()
	needORT(t)
	g := m.Clone()
	if err := pass.Lower(g, pass.LowerOptions{}); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := onnx.Encode(&file, g); err != nil {
		t.Fatal(err)
	}
	s, err := ort.OpenBytes(file.Bytes(), nil, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	given := map[string][]int64{"input_ids": ids, "attention_mask": mask, "pooling_mask": mask, "token_type_ids": make([]int64, len(ids))}
	inputs := map[string]ort.Array{}
	for _, name := range s.Inputs {
		inputs[name] = ort.Array{Type: ort.Int64, Shape: shape, Data: given[name]}
	}
	out, err := s.RunArrays(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string][]float32{}
	for name, a := range out {
		named[name] = a.Data.([]float32)
	}
	return named
}

var fixtures = []string{"bert", "llama"}

func TestBlockInfluence(t *testing.T) {
	needORT(t)
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			f := readFixture(t, name)
			m := openModel(t, filepath.Join(f.dir, "model"), convert.OpenOptions{})
			for _, budget := range []int{0, 16} { // all texts in one batch, and each in its own
				r := runtime.RecorderOf(f.rows, 0, runtime.RecordOptions{BatchTokens: budget, Threads: 1})
				p, err := prune.New(context.Background(), m.Graph, prune.Options{Layers: len(f.Dropped), Activations: r})
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range f.Influence {
					if got := *p.Layers[i].Score; !(math.Abs(got-want) <= f.Tolerance.Influence) {
						t.Errorf("layer %d: influence %.8f, want %.8f", i, got, want)
					}
				}
				if !slices.Equal(p.Order, f.Order) || !slices.Equal(p.Removed(), f.Dropped) {
					t.Errorf("order %d, removed %d; want %d, %d", p.Order, p.Removed(), f.Order, f.Dropped)
				}
			}
		})
	}
}

func TestPrunedOutputs(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			f := readFixture(t, name)
			m := openModel(t, filepath.Join(f.dir, "model"), convert.OpenOptions{})
			f.near(t, "before", outputs(t, m.Graph, f.ids, f.mask, f.shape)["last_hidden_state"], "last_hidden_state")
			p, err := prune.New(context.Background(), m.Graph, prune.Options{Keep: without(len(f.Influence), f.Dropped)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Apply(m.Graph); err != nil {
				t.Fatal(err)
			}
			f.near(t, "pruned", outputs(t, m.Graph, f.ids, f.mask, f.shape)["last_hidden_state"], "pruned_last_hidden_state")
		})
	}
}

// without are the numbers below n that are not in gone.
func without(n int, gone []int) []int {
	list := []int{}
	for i := range n {
		if !slices.Contains(gone, i) {
			list = append(list, i)
		}
	}
	return list
}
