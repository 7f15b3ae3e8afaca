package convert_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// fixtures are all folders of testdata/models: tiny checkpoints with the values that
// transformers computes from them.
func fixtures(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("../testdata/models/*/config.json")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no fixtures in testdata/models: %v", err)
	}
	for i, d := range dirs {
		dirs[i] = filepath.Dir(d)
	}
	return dirs
}

func TestEveryArchitectureHasAFixture(t *testing.T) {
	have := fixtures(t)
	for _, a := range convert.Archs() {
		if !slices.Contains(have, filepath.Join("../testdata/models", a.Name)) {
			t.Errorf("architecture %q has no fixture testdata/models/%s", a.Name, a.Name)
		}
		if a.Doc == "" || len(a.ModelTypes) == 0 {
			t.Errorf("architecture %q: Doc %q, ModelTypes %q", a.Name, a.Doc, a.ModelTypes)
		}
	}
}

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

// batch is what one run of a model takes; types may be nil.
type batch struct{ ids, mask, types *tokens }

func (e *expected) batch(t *testing.T, side string) *batch {
	t.Helper()
	b := &batch{e.ints(t, side+".input_ids"), e.ints(t, side+".attention_mask"), e.ints(t, "right.token_type_ids")}
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
	return &batch{cut(b.ids), cut(b.mask), cut(b.types)}
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
	return &batch{move(b.ids), move(b.mask), move(b.types)}
}

func (b *batch) zeroTypes() *batch {
	return &batch{b.ids, b.mask, &tokens{b.ids.shape, make([]int64, len(b.ids.data))}}
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
	for name, x := range map[string]*tokens{"input_ids": b.ids, "attention_mask": b.mask, "token_type_ids": b.types} {
		if slices.Contains(s.Inputs, name) {
			if x == nil {
				x = b.zeroTypes().types
			}
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

// lowerings are the forms in which every architecture is checked.
func lowerings() []pass.LowerOptions {
	var all []pass.LowerOptions
	for _, target := range []pass.Target{pass.Portable, pass.CPU} {
		for _, opset := range []int64{14, 17, 20} {
			all = append(all, pass.LowerOptions{Target: target, Opset: opset})
		}
	}
	return all
}

// Every hidden state of every architecture is the reference library's, on either side of the
// padding and without it.
func TestHiddenStates(t *testing.T) {
	for _, dir := range fixtures(t) {
		for _, l := range lowerings() {
			t.Run(fmt.Sprintf("%s/opset%d/%s", filepath.Base(dir), l.Opset, l.Target), func(t *testing.T) {
				e := readExpected(t, dir)
				s := session(t, lowered(t, dir, convert.OpenOptions{HiddenStates: true}, l))
				right := e.batch(t, "right")
				e.checkStates(t, "right", right, run(t, s, right))
				want := e.floats(t, "right.last_hidden_state")
				for row := range right.rows() {
					e.checkRow(t, right, row, run(t, s, right.alone(row)), want)
				}
				left := right.left()
				e.near(t, "moved left: last_hidden_state", left.real(run(t, s, left)["last_hidden_state"]), right.real(want))
				if e.has("left_pos.last_hidden_state") {
					b := e.batch(t, "left")
					b.types = nil
					e.near(t, "left_pos: last_hidden_state", b.real(run(t, s, b)["last_hidden_state"]), b.real(e.floats(t, "left_pos.last_hidden_state")))
				}
				if want := e.floats(t, "zero_types.last_hidden_state"); want != nil {
					e.near(t, "zero_types: last_hidden_state", right.real(run(t, s, right.zeroTypes())["last_hidden_state"]), right.real(want))
				}
			})
		}
	}
}

// checkStates compares all hidden states. The library's last one may be after the final norm,
// which is our last_hidden_state.
func (e *expected) checkStates(t *testing.T, prefix string, b *batch, got map[string]*array) {
	t.Helper()
	e.near(t, prefix+": last_hidden_state", b.real(got["last_hidden_state"]), b.real(e.floats(t, prefix+".last_hidden_state")))
	n := 0
	for e.has(fmt.Sprintf("%s.hidden_states.%d", prefix, n)) {
		n++
	}
	if n < 3 {
		t.Fatalf("%s: only %d hidden states in the fixture", e.dir, n)
	}
	last := e.floats(t, prefix+".last_hidden_state")
	for i := range n {
		name := fmt.Sprintf("hidden_states.%d", i)
		want := e.floats(t, prefix+"."+name)
		if i == n-1 && slices.Equal(want.data, last.data) {
			continue
		}
		e.near(t, prefix+": "+name, b.real(got[name]), b.real(want))
	}
}

// checkRow compares a text that ran alone with its row in the batch.
func (e *expected) checkRow(t *testing.T, b *batch, row int, got map[string]*array, want *array) {
	t.Helper()
	features := len(want.data) / len(b.mask.data)
	e.near(t, fmt.Sprintf("row %d alone: last_hidden_state", row), got["last_hidden_state"].data,
		want.data[row*b.width()*features:][:b.length(row)*features])
}

// Every pooling, with and without normalization, gives the reference's vectors on either side of
// the padding and without it.
func TestPooling(t *testing.T) {
	for _, dir := range fixtures(t) {
		for _, mode := range []string{"cls", "mean", "last", "last_8"} {
			for _, normalize := range []bool{false, true} {
				name := mode + map[bool]string{true: "_norm"}[normalize]
				t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) {
					e := readExpected(t, dir)
					o := convert.OpenOptions{Pooling: mode, Normalize: &normalize}
					want := e.floats(t, "right.sentence_embedding."+name)
					if want == nil {
						t.Skip("not in this fixture")
					}
					s := session(t, lowered(t, dir, o, pass.LowerOptions{}))
					e.checkPooled(t, s, want)
					if want := e.floats(t, "left.sentence_embedding."+name); want != nil {
						b := e.batch(t, "left")
						e.near(t, "left", run(t, s, b)["sentence_embedding"].data, want.data)
					}
				})
			}
		}
	}
}

func (e *expected) checkPooled(t *testing.T, s *ort.Session, want *array) {
	t.Helper()
	right := e.batch(t, "right")
	e.near(t, "right", run(t, s, right)["sentence_embedding"].data, want.data)
	e.near(t, "moved left", run(t, s, right.left())["sentence_embedding"].data, want.data)
	dim := len(want.data) / right.rows()
	for row := range right.rows() {
		e.near(t, fmt.Sprintf("row %d alone", row), run(t, s, right.alone(row))["sentence_embedding"].data, want.data[row*dim:][:dim])
	}
}

// Options that change what a model computes: ernie's task type, mistral looking both ways.
func TestVariants(t *testing.T) {
	for _, test := range []struct {
		name, prefix string
		options      convert.OpenOptions
		states       bool
	}{
		{"ernie", "task1", convert.OpenOptions{TaskType: 1, HiddenStates: true}, false},
		{"mistral", "bidir", convert.OpenOptions{Bidirectional: true, HiddenStates: true}, true},
	} {
		for _, l := range lowerings() {
			t.Run(fmt.Sprintf("%s/%s/opset%d/%s", test.name, test.prefix, l.Opset, l.Target), func(t *testing.T) {
				dir := filepath.Join("../testdata/models", test.name)
				e := readExpected(t, dir)
				s := session(t, lowered(t, dir, test.options, l))
				b := e.batch(t, "right")
				out := run(t, s, b)
				if test.states {
					e.checkStates(t, test.prefix, b, out)
				}
				e.near(t, "last_hidden_state", b.real(out["last_hidden_state"]), b.real(e.floats(t, test.prefix+".last_hidden_state")))
			})
		}
	}
	for _, name := range []string{"mean", "mean_norm", "last", "last_norm"} {
		t.Run("mistral/bidir/"+name, func(t *testing.T) {
			e := readExpected(t, "../testdata/models/mistral")
			mode, normalize := strings.CutSuffix(name, "_norm")
			s := session(t, lowered(t, e.dir, convert.OpenOptions{Pooling: mode, Normalize: &normalize, Bidirectional: true}, pass.LowerOptions{}))
			e.checkPooled(t, s, e.floats(t, "bidir.sentence_embedding."+name))
		})
	}
}
