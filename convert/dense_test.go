package convert_test

import (
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph/pass"
)

// denseModel is bert with a Dense module between Pooling and Normalize.
func denseModel(t *testing.T, in, out int64) (dir string, weight, bias []float32) {
	t.Helper()
	dir = copyModel(t, "bert")
	rng := rand.New(rand.NewPCG(1, 2))
	weight, bias = make([]float32, out*in), make([]float32, out)
	for i := range weight {
		weight[i] = rng.Float32() - 0.5
	}
	for i := range bias {
		bias[i] = rng.Float32() - 0.5
	}
	files := map[string]string{
		"modules.json": `[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
			{"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
			{"idx":2,"name":"2","path":"2_Dense","type":"sentence_transformers.models.Dense"},
			{"idx":3,"name":"3","path":"3_Normalize","type":"sentence_transformers.models.Normalize"}]`,
		"2_Dense/config.json": `{"in_features":32,"out_features":8,"bias":true,"activation_function":"torch.nn.modules.activation.Tanh"}`,
	}
	if err := os.Mkdir(filepath.Join(dir, "2_Dense"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	w, err := safetensors.Create(filepath.Join(dir, "2_Dense", "model.safetensors"), nil, []safetensors.Entry{
		{Name: "linear.weight", DType: "F32", Shape: []int64{out, in}}, {Name: "linear.bias", DType: "F32", Shape: []int64{out}}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for name, data := range map[string][]float32{"linear.weight": weight, "linear.bias": bias} {
		if err := w.Tensor(name, func(f io.Writer) error { return binary.Write(f, binary.LittleEndian, data) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return dir, weight, bias
}

// A Dense module between Pooling and Normalize is part of the graph, and of what is saved.
func TestDense(t *testing.T) {
	const in, out = 32, 8
	dir, weight, bias := denseModel(t, in, out)
	e := readExpected(t, dir)
	pooled := e.floats(t, "right.sentence_embedding.mean").data
	var want []float32
	for row := range len(pooled) / in {
		v := make([]float64, out)
		length := 0.0
		for i := range v {
			v[i] = float64(bias[i])
			for j := range in {
				v[i] += float64(weight[i*in+j]) * float64(pooled[row*in+j])
			}
			v[i] = math.Tanh(v[i])
			length += v[i] * v[i]
		}
		for i := range v {
			want = append(want, float32(v[i]/math.Sqrt(length)))
		}
	}
	e.checkPooled(t, session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{})), &array{nil, want})
	saved, _ := save(t, dir, convert.OpenOptions{}, convert.SaveOptions{})
	e.checkPooled(t, openFile(t, filepath.Join(saved, "onnx", "model.onnx")), &array{nil, want})
	e.checkPooled(t, session(t, lowered(t, saved, convert.OpenOptions{}, pass.LowerOptions{})), &array{nil, want})

	edit(t, filepath.Join(dir, "2_Dense", "config.json"), func(m map[string]any) { m["in_features"] = 16 })
	if _, err := convert.Open(dir, convert.OpenOptions{}); err == nil {
		t.Error("in_features 16 behind a vector of 32 gave no error")
	}
}

// A pickled checkpoint gives the same values, and is saved as safetensors.
func TestPickle(t *testing.T) {
	dir := copyModel(t, "bert")
	if err := os.Remove(filepath.Join(dir, safetensors.FileName)); err != nil {
		t.Fatal(err)
	}
	e := readExpected(t, dir)
	b := e.batch(t, "right")
	want := b.real(e.floats(t, "right.last_hidden_state"))
	saved, _ := save(t, dir, convert.OpenOptions{}, convert.SaveOptions{})
	if _, err := os.Stat(filepath.Join(saved, safetensors.FileName)); err != nil {
		t.Error(err)
	}
	for _, d := range []string{dir, saved} {
		out := run(t, session(t, lowered(t, d, convert.OpenOptions{}, pass.LowerOptions{})), b)
		e.near(t, "last_hidden_state", b.real(out["last_hidden_state"]), want)
	}
}
