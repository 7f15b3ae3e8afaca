//go:build !lite

package torch_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph"
	"graft/train/torch"
)

// modelDirs are the folders of testdata/models: tiny checkpoints with the values that transformers computes from them.
func modelDirs(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../../testdata/models/*/config.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures in testdata/models: %v", err)
	}
	for i, f := range files {
		files[i] = filepath.Dir(f)
	}
	return files
}

// opened is the graph of a model directory.
func opened(t testing.TB, dir string, o convert.OpenOptions) *graph.Model {
	t.Helper()
	m, err := convert.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m.Graph
}

func compiled(t testing.TB, m *graph.Model, o torch.CompileOptions) *torch.Program {
	t.Helper()
	p, err := torch.Compile(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// checkpoint opens a safetensors file.
func checkpoint(t testing.TB, path string) *safetensors.Checkpoint {
	t.Helper()
	c, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func stored(t testing.TB, c *safetensors.Checkpoint, name string) []float32 {
	t.Helper()
	s := c.Tensor(name)
	if s == nil {
		return nil
	}
	v, err := s.Float32()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tokens are integers of shape [rows, width].
type tokens struct {
	rows, width int
	data        []int64
}

// storedTokens reads an int64 tensor whose first axes count as one.
func storedTokens(t testing.TB, c *safetensors.Checkpoint, name string) *tokens {
	t.Helper()
	s := c.Tensor(name)
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
	width := int(s.Shape[len(s.Shape)-1])
	return &tokens{len(v) / width, width, v}
}

// part is rows from first on.
func (x *tokens) part(first, rows int) *tokens {
	return &tokens{rows, x.width, x.data[first*x.width:][:rows*x.width]}
}

// batch is what one run of a model takes; types may be nil, which stands for zeros.
type batch struct{ ids, mask, types *tokens }

// length is the number of real tokens of a row.
func (b *batch) length(row int) int {
	n := 0
	for _, m := range b.mask.data[row*b.mask.width:][:b.mask.width] {
		n += int(m)
	}
	return n
}

// left moves each row of a right-padded batch to the right.
func (b *batch) left() *batch {
	move := func(x *tokens) *tokens {
		if x == nil {
			return nil
		}
		y := &tokens{x.rows, x.width, make([]int64, len(x.data))}
		for row := range x.rows {
			n, at := b.length(row), row*x.width
			copy(y.data[at+x.width-n:], x.data[at:at+n])
		}
		return y
	}
	return &batch{move(b.ids), move(b.mask), move(b.types)}
}

// alone is row of a right-padded batch without padding.
func (b *batch) alone(row int) *batch {
	cut := func(x *tokens) *tokens {
		if x == nil {
			return nil
		}
		n := b.length(row)
		return &tokens{1, n, x.data[row*x.width:][:n]}
	}
	return &batch{cut(b.ids), cut(b.mask), cut(b.types)}
}

// real are the values of x [rows, width, features] at the real tokens.
func (b *batch) real(x []float32) []float32 {
	features := len(x) / len(b.mask.data)
	var out []float32
	for i, m := range b.mask.data {
		if m == 1 {
			out = append(out, x[i*features:][:features]...)
		}
	}
	return out
}

// feed makes the inputs of p, in s.
func (b *batch) feed(s *torch.Scope, p *torch.Program) map[string]*torch.Tensor {
	types := b.types
	if types == nil {
		types = &tokens{b.ids.rows, b.ids.width, make([]int64, len(b.ids.data))}
	}
	all := map[string]*tokens{"input_ids": b.ids, "attention_mask": b.mask, "pooling_mask": b.mask, "token_type_ids": types}
	in := map[string]*torch.Tensor{}
	for _, name := range p.Inputs() {
		if x := all[name]; x != nil {
			in[name] = s.Int64s(x.data, int64(x.rows), int64(x.width))
		}
	}
	return in
}

// forward gives the outputs of p without gradients.
func forward(t testing.TB, p *torch.Program, b *batch) map[string][]float32 {
	t.Helper()
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	out := map[string][]float32{}
	s.NoGrad(func() {
		for name, x := range p.Run(s, b.feed(s, p), torch.RunOptions{}) {
			v, err := x.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			out[name] = v
		}
	})
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return out
}

// expected are a fixture's inputs and outputs.
type expected struct {
	tensors    *safetensors.Checkpoint
	atol, rtol float64
}

func readExpected(t testing.TB, dir string) *expected {
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
	return &expected{checkpoint(t, filepath.Join(dir, "expected.safetensors")), file.Tolerance.ATol, file.Tolerance.RTol}
}

func (e *expected) batch(t testing.TB, side string) *batch {
	t.Helper()
	b := &batch{storedTokens(t, e.tensors, side+".input_ids"), storedTokens(t, e.tensors, side+".attention_mask"),
		storedTokens(t, e.tensors, "right.token_type_ids")}
	if b.ids == nil || b.mask == nil {
		t.Fatalf("no inputs %s.*", side)
	}
	return b
}

// near compares within the fixture's tolerance and names the worst element.
func (e *expected) near(t testing.TB, name string, got, want []float32) {
	t.Helper()
	within(t, name, got, want, e.atol, e.rtol)
}

func within(t testing.TB, name string, got, want []float32, atol, rtol float64) {
	t.Helper()
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	worst, at := 0.0, -1
	for i := range want {
		over := math.Abs(float64(got[i])-float64(want[i])) / (atol + rtol*math.Abs(float64(want[i])))
		if math.IsNaN(over) {
			over = math.Inf(1)
		}
		if over > worst {
			worst, at = over, i
		}
	}
	if worst > 1 {
		t.Errorf("%s: got %g, want %g at element %d: %.1f times the tolerance (atol %g, rtol %g)", name, got[at], want[at], at, worst, atol, rtol)
	}
}
