package convert_test

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
	"graft/runtime/ort"
)

// expected are a fixture's inputs and outputs.
type expected struct {
	dir     string
	tensors *safetensors.Checkpoint
	atol    float64
	rtol    float64
}

func readExpected(t *testing.T, dir string) *expected {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tolerance struct{ ATol, RTol float64 }
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	c, err := safetensors.Open(filepath.Join(dir, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &expected{dir, c, file.Tolerance.ATol, file.Tolerance.RTol}
}

func (e *expected) has(name string) bool { return e.tensors.Tensor(name) != nil }

// floats returns a stored tensor, nil where there is none.
func (e *expected) floats(t *testing.T, name string) *array {
	t.Helper()
	s := e.tensors.Tensor(name)
	if s == nil {
		return nil
	}
	v, err := s.Float32()
	if err != nil {
		t.Fatal(err)
	}
	return &array{s.Shape, v}
}

func (e *expected) ints(t *testing.T, name string) *tokens {
	t.Helper()
	s := e.tensors.Tensor(name)
	if s == nil {
		return nil
	}
	raw, err := s.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	v, err := (&graph.Tensor{DType: graph.Int64, Shape: s.Shape, Data: graph.Raw(raw)}).Int64s()
	if err != nil {
		t.Fatal(err)
	}
	return &tokens{s.Shape, v}
}

// batch is what one run of a model takes; types may be nil (all 0), pooled too (all real tokens).
type batch struct{ ids, mask, types, pooled *tokens }

func (e *expected) batch(t *testing.T, side string) *batch {
	t.Helper()
	b := &batch{ids: e.ints(t, side+".input_ids"), mask: e.ints(t, side+".attention_mask"), types: e.ints(t, "right.token_type_ids")}
	if b.ids == nil || b.mask == nil {
		t.Fatalf("%s: no inputs %s.*", e.dir, side)
	}
	return b
}

type tokens struct {
	shape []int64
	data  []int64
}

type array struct {
	shape []int64
	data  []float32
}

func (b *batch) width() int { return int(b.mask.shape[1]) }
func (b *batch) rows() int  { return int(b.mask.shape[0]) }

// length is the number of real tokens of a row.
func (b *batch) length(row int) int {
	n := 0
	for _, m := range b.mask.data[row*b.width() : (row+1)*b.width()] {
		n += int(m)
	}
	return n
}

// alone is row as a batch of its own without padding; it must be padded on the right.
func (b *batch) alone(row int) *batch {
	cut := func(x *tokens) *tokens {
		if x == nil {
			return nil
		}
		n := b.length(row)
		return &tokens{[]int64{1, int64(n)}, x.data[row*b.width():][:n]}
	}
	return &batch{cut(b.ids), cut(b.mask), cut(b.types), cut(b.pooled)}
}

// left moves each row of a right-padded batch to the right.
func (b *batch) left() *batch {
	move := func(x *tokens) *tokens {
		if x == nil {
			return nil
		}
		y := &tokens{x.shape, make([]int64, len(x.data))}
		for row := range b.rows() {
			n, w := b.length(row), b.width()
			copy(y.data[row*w:][:w-n], x.data[row*w+n:])
			copy(y.data[row*w+w-n:][:n], x.data[row*w:])
		}
		return y
	}
	return &batch{move(b.ids), move(b.mask), move(b.types), move(b.pooled)}
}

func (b *batch) zeroTypes() *batch {
	return &batch{b.ids, b.mask, &tokens{b.ids.shape, make([]int64, len(b.ids.data))}, b.pooled}
}

// real are the values of x [rows, width, features] at the real tokens.
func (b *batch) real(x *array) []float32 {
	features := len(x.data) / len(b.mask.data)
	var out []float32
	for i, m := range b.mask.data {
		if m == 1 {
			out = append(out, x.data[i*features:][:features]...)
		}
	}
	return out
}

// lowered opens a fixture and writes it for a target.
func lowered(t *testing.T, dir string, o convert.OpenOptions, l pass.LowerOptions) []byte {
	t.Helper()
	m, err := convert.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	g := m.Graph.Clone()
	if err := pass.Lower(g, l); err != nil {
		t.Fatal(err)
	}
	if err := pass.Simplify(g); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := onnx.Encode(&file, g); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// session opens a model in ONNX Runtime.
func session(t *testing.T, model []byte) *ort.Session {
	t.Helper()
	if _, err := ort.Libraries()[0].Path(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s, err := ort.OpenBytes(model, nil, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// run gives the outputs by name.
func run(t *testing.T, s *ort.Session, b *batch) map[string]*array {
	t.Helper()
	feed := map[string]ort.Array{}
	types, pooled := b.types, b.pooled
	if types == nil {
		types = b.zeroTypes().types
	}
	if pooled == nil {
		pooled = b.mask
	}
	for name, x := range map[string]*tokens{"input_ids": b.ids, "attention_mask": b.mask, "token_type_ids": types, "pooling_mask": pooled} {
		if slices.Contains(s.Inputs, name) {
			feed[name] = ort.Array{Type: ort.Int64, Shape: x.shape, Data: x.data}
		}
	}
	out, err := s.RunArrays(context.Background(), feed)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]*array{}
	for name, a := range out {
		named[name] = &array{a.Shape, a.Data.([]float32)}
	}
	return named
}

// near compares within the fixture's tolerance and names the worst element.
func (e *expected) near(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	worst, at := 0.0, -1
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		over := d / (e.atol + e.rtol*math.Abs(float64(want[i])))
		if math.IsNaN(over) {
			over = math.Inf(1)
		}
		if over > worst {
			worst, at = over, i
		}
	}
	if worst > 1 {
		t.Errorf("%s: got %g, want %g at element %d of the real tokens: %.1f times the tolerance (atol %g, rtol %g)",
			name, got[at], want[at], at, worst, e.atol, e.rtol)
	}
}
