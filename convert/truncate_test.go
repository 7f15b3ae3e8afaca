package convert_test

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/graph/pass"
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
