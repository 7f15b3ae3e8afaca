package convert_test

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
	"graft/graph/pass"
)

// A file with text vectors is taken as it is.
func TestForeignWithTextVectors(t *testing.T) {
	path := foreign(t, "bert", 17, nil, nil)
	m, err := convert.Open(path, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.File != path {
		t.Errorf("File %q, want %q", m.File, path)
	}
}

// The poolings that no fixture has, against sums over the tokens; several are joined in the order
// asked for.
func TestPoolingModes(t *testing.T) {
	const dir = "../testdata/models/bert"
	e := readExpected(t, dir)
	no := false
	right := e.batch(t, "right")
	hidden := e.floats(t, "right.last_hidden_state")
	dim, width := 32, right.width()
	for name, pool := range map[string]func(h [][]float32, j int) float64{
		"max": func(h [][]float32, j int) float64 {
			m := math.Inf(-1)
			for _, x := range h {
				m = math.Max(m, float64(x[j]))
			}
			return m
		},
		"mean_sqrt_len": func(h [][]float32, j int) float64 {
			var s float64
			for _, x := range h {
				s += float64(x[j])
			}
			return s / math.Sqrt(float64(len(h)))
		},
		"weightedmean": func(h [][]float32, j int) float64 {
			var s, w float64
			for i, x := range h {
				s += float64(x[j]) * float64(i+1)
				w += float64(i + 1)
			}
			return s / w
		},
	} {
		var want []float32
		for row := range right.rows() {
			var h [][]float32
			for i := range right.length(row) {
				h = append(h, hidden.data[(row*width+i)*dim:][:dim])
			}
			for j := range dim {
				want = append(want, float32(pool(h, j)))
			}
			first := h[0]
			want = append(want, first...)
		}
		for _, opset := range []int64{14, 17, 20} {
			s := session(t, lowered(t, dir, convert.OpenOptions{Pooling: name + "+cls", Normalize: &no}, pass.LowerOptions{Opset: opset}))
			t.Run(name, func(t *testing.T) { e.checkPooled(t, s, &array{nil, want}) })
		}
	}
}

// Vectors of texts alone can be given length 1 and be cut, but not pooled otherwise. Training takes them before they have it.
func TestForeignTextAlone(t *testing.T) {
	pooled := func(normalized bool) string {
		return foreign(t, "bert", 17, nil, func(g *graph.Graph) {
			text := g.Output("sentence_embedding")
			if !normalized {
				text.Name, text = "before", text.Def().Input(0)
				text.Name = "sentence_embedding"
			}
			text.Type = graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Size(32))
			g.Outputs = []*graph.Value{text}
		})
	}
	yes, no := true, false
	e := readExpected(t, "../testdata/models/bert")
	unit := e.floats(t, "right.sentence_embedding.mean_norm")
	for _, test := range []struct {
		name       string
		normalized bool
		open       convert.OpenOptions
		unit       bool
	}{
		{"as it is", true, convert.OpenOptions{}, true},
		{"asked for what it is", true, convert.OpenOptions{Normalize: &yes}, true},
		{"normalized", false, convert.OpenOptions{Normalize: &yes}, true},
		{"not normalized", false, convert.OpenOptions{Normalize: &no}, false},
		{"to be trained", false, convert.OpenOptions{Normalize: &yes, Unnormalized: true}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.open.Tokenizer = "../testdata/models/bert/tokenizer.json"
			m, err := convert.Open(pooled(test.normalized), test.open)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if _, err := m.Raise(); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "out")
			if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			saved, err := convert.Open(filepath.Join(out, "onnx", "model.onnx"), convert.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer saved.Close()
			if saved.Modules.Normalize != test.unit {
				t.Errorf("the file says normalized %t, want %t", saved.Modules.Normalize, test.unit)
			}
			want := unit
			if !test.unit {
				want = e.floats(t, "right.sentence_embedding.mean")
			}
			e.checkPooled(t, session(t, encode(t, saved)), want)
			if err := saved.Truncate(8); err != nil || saved.Dim != 8 {
				t.Errorf("cut to %d features: %v", saved.Dim, err)
			}
		})
	}
	if _, err := convert.Open(pooled(true), convert.OpenOptions{Pooling: "cls"}); err == nil || !strings.Contains(err.Error(), "pooling cannot be changed") {
		t.Errorf("pooled otherwise: %v", err)
	}
}
