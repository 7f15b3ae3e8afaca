package convert_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// A truncated vector is the first features of the whole one, normalized: in the graph, in the saved
// directory, of a checkpoint and of an ONNX file.
func TestTruncate(t *testing.T) {
	e := readExpected(t, filepath.Join("..", "testdata", "models", "bert"))
	b := e.batch(t, "right")
	whole := open(t, e.dir, convert.OpenOptions{})
	want := outputs(t, whole.Graph, b)["sentence_embedding"]
	exported := filepath.Join(t.TempDir(), "exported")
	if _, err := convert.Save(context.Background(), exported, whole, convert.SaveOptions{LowerOptions: pass.LowerOptions{}}); err != nil {
		t.Fatal(err)
	}
	const n = 8
	for name, o := range map[string]convert.OpenOptions{"checkpoint": {}, "onnx": {ONNX: true}} {
		t.Run(name, func(t *testing.T) {
			m := open(t, exported, o)
			if _, err := m.Raise(); err != nil {
				t.Fatal(err)
			}
			if err := m.Truncate(n); err != nil {
				t.Fatal(err)
			}
			checkTruncated(t, e, outputs(t, m.Graph, b)["sentence_embedding"], want, n)
			out := filepath.Join(t.TempDir(), "small")
			if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			again := open(t, out, convert.OpenOptions{ONNX: name == "onnx"})
			if again.Dim != n {
				t.Errorf("the saved model has %d features, want %d", again.Dim, n)
			}
			if _, err := again.Raise(); err != nil {
				t.Fatal(err)
			}
			checkTruncated(t, e, outputs(t, again.Graph, b)["sentence_embedding"], want, n)
		})
	}
	for _, n := range []int{0, -1, 32, 64} {
		if err := open(t, e.dir, convert.OpenOptions{}).Truncate(n); err == nil {
			t.Errorf("32 features are cut to %d", n)
		}
	}
}

func checkTruncated(t *testing.T, e *expected, got, whole *array, n int) {
	t.Helper()
	dim := int(whole.shape[1])
	var want []float32
	for r := range int(whole.shape[0]) {
		row := whole.data[r*dim:][:n]
		sum := 0.0
		for _, x := range row {
			sum += float64(x) * float64(x)
		}
		for _, x := range row {
			want = append(want, float32(float64(x)/math.Sqrt(sum)))
		}
	}
	e.near(t, "truncated", got.data, want)
}

// truncate_dim of sentence-transformers gives the first features as they are, behind the normalization; a Dropout module changes nothing.
func TestTruncateDim(t *testing.T) {
	const n = 8
	dir := copyModel(t, "bert")
	e := readExpected(t, dir)
	b := e.batch(t, "right")
	whole := run(t, session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{})), b)["sentence_embedding"]
	var want []float32
	for row := range b.rows() {
		want = append(want, whole.data[row*int(whole.shape[1]):][:n]...)
	}
	edit(t, filepath.Join(dir, "config_sentence_transformers.json"), func(m map[string]any) { m["truncate_dim"] = n })
	modules := `[{"path": "", "type": "sentence_transformers.models.Transformer"}, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
		{"path": "2_Dropout", "type": "sentence_transformers.models.Dropout"}, {"path": "3_Normalize", "type": "sentence_transformers.models.Normalize"}]`
	if err := os.WriteFile(filepath.Join(dir, "modules.json"), []byte(modules), 0o666); err != nil {
		t.Fatal(err)
	}
	saved, _ := save(t, dir, convert.OpenOptions{}, convert.SaveOptions{})
	trained := open(t, dir, convert.OpenOptions{Unnormalized: true})
	normalized := filepath.Join(t.TempDir(), "trained")
	if _, err := convert.Save(context.Background(), normalized, trained, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*ort.Session{
		"checkpoint":       session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{})),
		"saved checkpoint": session(t, lowered(t, saved, convert.OpenOptions{}, pass.LowerOptions{})),
		"saved onnx":       openFile(t, filepath.Join(saved, "onnx", "model.onnx")),
		"trained":          openFile(t, filepath.Join(normalized, "onnx", "model.onnx")),
	} {
		e.near(t, name, run(t, s, b)["sentence_embedding"].data, want)
	}
	edit(t, filepath.Join(dir, "config_sentence_transformers.json"), func(m map[string]any) { m["truncate_dim"] = 0 })
	if _, err := convert.Open(dir, convert.OpenOptions{}); err == nil {
		t.Error("truncate_dim 0 gave no error")
	}
}
