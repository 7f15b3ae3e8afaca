package convert_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
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
		if a.Doc == "" || len(a.ModelTypes)+len(a.Code) == 0 {
			t.Errorf("architecture %q: Doc %q, ModelTypes %q", a.Name, a.Doc, a.ModelTypes)
		}
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
