package convert_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
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
)

// open opens a model for the length of a test.
func open(t *testing.T, path string, o convert.OpenOptions) *convert.Model {
	t.Helper()
	m, err := convert.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// trained are other values for all weights of a graph, as training leaves them: float32 in memory.
func trained(t *testing.T, m *convert.Model) []*graph.Tensor {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	var list []*graph.Tensor
	for _, v := range m.Graph.Graph.Initializers {
		if !v.Init.DType.IsFloat() || len(v.Init.Shape) == 0 || !strings.HasSuffix(v.Name, ".weight") && !strings.HasSuffix(v.Name, ".bias") {
			continue
		}
		values, err := v.Init.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i] += 0.02 * float32(rng.NormFloat64())
		}
		list = append(list, graph.NewTensor(v.Name, values, v.Init.Shape...))
	}
	if len(list) < 10 {
		t.Fatalf("only %d weights", len(list))
	}
	return list
}

// outputs runs a graph in the IR's form.
func outputs(t *testing.T, m *graph.Model, b *batch) map[string]*array {
	t.Helper()
	g := m.Clone()
	if err := pass.Lower(g, pass.LowerOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := pass.Simplify(g); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := onnx.Encode(&file, g); err != nil {
		t.Fatal(err)
	}
	return run(t, session(t, file.Bytes()), b)
}

// within fails where two runs' outputs differ by more than tolerance at a real token or in a text's vector.
func within(t *testing.T, what string, b *batch, got, want map[string]*array, tolerance float64) {
	t.Helper()
	e := &expected{atol: max(tolerance, math.SmallestNonzeroFloat64)} // 0 asks for equality
	e.near(t, what+": last_hidden_state", b.real(got["last_hidden_state"]), b.real(want["last_hidden_state"]))
	e.near(t, what+": sentence_embedding", got["sentence_embedding"].data, want["sentence_embedding"].data)
}

func differ(a, b map[string]*array) bool {
	return !slices.Equal(a["sentence_embedding"].data, b["sentence_embedding"].data)
}

// stored are the tensors of a saved checkpoint by name: element type, shape and bytes.
func stored(t *testing.T, dir string) map[string]string {
	t.Helper()
	c, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all := map[string]string{}
	for _, x := range c.Tensors {
		raw, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		shape, _ := json.Marshal(x.Shape)
		all[x.Name] = x.DType + string(shape) + string(raw)
	}
	return all
}

var saveTrained = convert.SaveOptions{NoONNX: true, Step: convert.Step{Command: "train"}, Version: "test"}

// What training changed is saved under the checkpoint's names as float32, all else as it was; opened
// again the model computes what the graph in memory did.
func TestSaveTrained(t *testing.T) {
	for _, name := range []string{"bert", "roberta", "xlm-roberta", "llama", "qwen2", "modernbert", "mpnet", "nomic-bert", "gte", "gte-new", "gemma3-text", "ernie", "deberta-v2", "jina-embeddings-v3", "jina-bert-code"} {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join("../testdata/models", name)
			m := open(t, from, convert.OpenOptions{Pooling: "mean"})
			b := readExpected(t, from).batch(t, "right")
			before := outputs(t, m.Graph, b)
			hash, err := m.Hash()
			if err != nil {
				t.Fatal(err)
			}
			weights := trained(t, m)
			if err := m.SetWeights(weights); err != nil {
				t.Fatal(err)
			}
			want := outputs(t, m.Graph, b)
			if !differ(before, want) {
				t.Fatal("the weights change nothing")
			}
			dir := filepath.Join(t.TempDir(), "out")
			if _, err := convert.Save(context.Background(), dir, m, saveTrained); err != nil {
				t.Fatal(err)
			}
			again := open(t, dir, convert.OpenOptions{})
			within(t, "opened again", b, outputs(t, again.Graph, b), want, 0)
			if !slices.Equal(again.Unused, m.Unused) || len(again.Steps) != 1 || again.Steps[0].Parent != hash {
				t.Errorf("unused %q, steps %+v; want %q and the parent %s", again.Unused, again.Steps, m.Unused, hash)
			}
			if _, err := os.Stat(filepath.Join(dir, "onnx")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("onnx/ is there: %v", err)
			}
			checkStored(t, stored(t, from), stored(t, dir), weights)
			var config map[string]any
			if err := json.Unmarshal(again.Config, &config); err != nil || config["dtype"] != nil && config["dtype"] != "float32" || config["torch_dtype"] != nil && config["torch_dtype"] != "float32" {
				t.Errorf("config.json: dtype %v, torch_dtype %v (%v)", config["dtype"], config["torch_dtype"], err)
			}
		})
	}
}

func checkStored(t *testing.T, from, to map[string]string, weights []*graph.Tensor) {
	t.Helper()
	changed := map[string]bool{}
	for _, w := range weights {
		changed[w.Name] = true
		raw, _ := w.Bytes()
		shape, _ := json.Marshal(w.Shape)
		if to[w.Name] != "F32"+string(shape)+string(raw) {
			t.Errorf("tensor %q is not the trained one", w.Name)
		}
	}
	for name, was := range from {
		if !changed[name] && to[name] != was {
			t.Errorf("tensor %q is not what it was", name)
		}
	}
	if len(to) != len(from) {
		t.Errorf("%d tensors, want %d", len(to), len(from))
	}
}

// A second checkpoint of the same training takes the place of the first.
func TestSetWeightsAgain(t *testing.T) {
	m := open(t, "../testdata/models/bert", convert.OpenOptions{})
	b := readExpected(t, "../testdata/models/bert").batch(t, "right")
	before := outputs(t, m.Graph, b)
	var original []*graph.Tensor
	for _, w := range trained(t, m) {
		c := *m.Graph.Graph.Initializer(w.Name).Init
		original = append(original, &c)
	}
	for _, weights := range [][]*graph.Tensor{trained(t, m), original} {
		if err := m.SetWeights(weights); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "set back", b, outputs(t, m.Graph, b), before, 0)
}

// Small shards have an index; types may be the checkpoint's; old names become today's; a Dense
// module's weights go to its folder.
func TestSaveTrainedForms(t *testing.T) {
	b := readExpected(t, "../testdata/models/bert").batch(t, "right")
	saved := func(t *testing.T, from string, o convert.SaveOptions) (dir string, want map[string]*array) {
		m := open(t, from, convert.OpenOptions{})
		if err := m.SetWeights(trained(t, m)); err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(t.TempDir(), "out")
		o.NoONNX = true
		if _, err := convert.Save(context.Background(), dir, m, o); err != nil {
			t.Fatal(err)
		}
		return dir, outputs(t, m.Graph, b)
	}
	again := func(t *testing.T, dir string) map[string]*array {
		return outputs(t, open(t, dir, convert.OpenOptions{}).Graph, b)
	}
	t.Run("shards", func(t *testing.T) {
		dir, want := saved(t, "../testdata/models/llama", convert.SaveOptions{ShardSize: 40_000})
		within(t, "shards", b, again(t, dir), want, 0)
		files, _ := filepath.Glob(filepath.Join(dir, "model-0000?-of-00004.safetensors"))
		if len(files) != 4 {
			t.Errorf("files %q", files)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || info.Size() > 70_000 { // the embedding table alone has 64 kB
				t.Errorf("%s: %v, %v", f, info, err)
			}
		}
	})
	t.Run("element types", func(t *testing.T) {
		dir, want := saved(t, "../testdata/models/xlm-roberta", convert.SaveOptions{KeepDType: true})
		within(t, "float16", b, again(t, dir), want, 2e-2)
		for name, tensor := range stored(t, dir) {
			if !strings.HasPrefix(tensor, "F16") {
				t.Errorf("tensor %q: %.4s", name, tensor)
			}
		}
	})
	t.Run("old names", func(t *testing.T) {
		from := copyModel(t, "bert")
		rewrite(t, from, func(n string) string {
			return "bert." + strings.NewReplacer("LayerNorm.weight", "LayerNorm.gamma", "LayerNorm.bias", "LayerNorm.beta").Replace(n)
		})
		dir, want := saved(t, from, convert.SaveOptions{})
		within(t, "old names", b, again(t, dir), want, 0)
		if all := stored(t, dir); all["bert.embeddings.LayerNorm.weight"] == "" || all["bert.embeddings.LayerNorm.gamma"] != "" {
			t.Error("LayerNorm.gamma is not LayerNorm.weight")
		}
	})
	t.Run("Dense", func(t *testing.T) {
		from, _, _ := denseModel(t, 32, 8)
		dir, want := saved(t, from, convert.SaveOptions{})
		within(t, "Dense", b, again(t, dir), want, 0)
		if dense := stored(t, filepath.Join(dir, "2_Dense")); len(dense) != 2 || dense["linear.weight"] == "" {
			t.Errorf("2_Dense holds %d tensors", len(dense))
		}
		if all := stored(t, dir); all["2_Dense.linear.weight"] != "" {
			t.Error("the module's weights are in the transformer's file")
		}
	})
	t.Run("pickle", func(t *testing.T) {
		from := copyModel(t, "bert")
		if err := os.Remove(filepath.Join(from, safetensors.FileName)); err != nil {
			t.Fatal(err)
		}
		dir, want := saved(t, from, convert.SaveOptions{})
		within(t, "pickle", b, again(t, dir), want, 0)
	})
}

func TestSetWeightsErrors(t *testing.T) {
	m := open(t, "../testdata/models/bert", convert.OpenOptions{})
	const name = "encoder.layer.0.output.dense.bias"
	ok := graph.NewTensor(name, make([]float32, 32), 32)
	for _, test := range []struct {
		bad  *graph.Tensor
		want string
	}{
		{graph.NewTensor("encoder.layer.7.output.dense.bias", make([]float32, 32), 32), `"encoder.layer.7.output.dense.bias"`},
		{graph.NewTensor("encoder.layer.1.output.dense.bias", make([]float32, 31), 31), "shape [31], want [32]"},
		{graph.NewTensor("encoder.layer.1.output.dense.bias", make([]int64, 32), 32), "INT64 for FLOAT"},
	} {
		if err := m.SetWeights([]*graph.Tensor{ok, test.bad}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %s", err, test.want)
		}
		if values, err := m.Graph.Graph.Initializer(name).Init.Float32s(); err != nil || values[0] == 0 {
			t.Errorf("%s: a weight has changed all the same", test.want)
		}
	}
}

// A trained ONNX file is saved as ONNX, in whichever way it was written before.
func TestSaveTrainedONNX(t *testing.T) {
	for _, test := range []struct {
		name, model string
		opset       int64
		target      pass.Target
	}{{"plain operators", "bert", 14, pass.Portable}, {"fused operators", "bert", 17, pass.CUDA}, {"decoder", "llama", 17, pass.Portable}} {
		t.Run(test.name, func(t *testing.T) {
			from := open(t, filepath.Join("../testdata/models", test.model), convert.OpenOptions{})
			if err := pass.Lower(from.Graph, pass.LowerOptions{Opset: test.opset, Target: test.target}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "encoder.onnx")
			if err := onnx.Write(file, from.Graph, onnx.Options{}); err != nil {
				t.Fatal(err)
			}
			m := open(t, file, convert.OpenOptions{})
			report, err := m.Raise()
			if err != nil || report.Raised["Attention"] == 0 {
				t.Fatalf("raised %v: %v", report, err)
			}
			b := readExpected(t, filepath.Join("../testdata/models", test.model)).batch(t, "right")
			before := outputs(t, m.Graph, b)
			var weights []*graph.Tensor
			for _, v := range m.Graph.Graph.Initializers {
				if v.Init.DType != graph.Float || len(v.Init.Shape) != 2 || v.Init.Shape[0] < 16 {
					continue
				}
				values, err := v.Init.Float32s()
				if err != nil {
					t.Fatal(err)
				}
				for i := range values {
					values[i] *= 1 + 0.1*float32(i%3)
				}
				weights = append(weights, graph.NewTensor(v.Name, values, v.Init.Shape...))
			}
			if err := m.SetWeights(weights); err != nil {
				t.Fatal(err)
			}
			want := outputs(t, m.Graph, b)
			if !differ(before, want) {
				t.Fatal("the weights change nothing")
			}
			dir := filepath.Join(t.TempDir(), "out")
			if _, err := convert.Save(context.Background(), dir, m, saveTrained); err != nil {
				t.Fatal(err)
			}
			within(t, "as ONNX", b, run(t, openFile(t, filepath.Join(dir, "onnx", "model.onnx")), b), want, 1e-6)
			within(t, "opened again", b, outputs(t, open(t, dir, convert.OpenOptions{}).Graph, b), want, 1e-5)
		})
	}
}

// A graph without the normalization gives the vector before it; modules and what is saved have it.
func TestUnnormalized(t *testing.T) {
	dir, _ := save(t, "../testdata/models/bert", convert.OpenOptions{}, convert.SaveOptions{})
	e := readExpected(t, "../testdata/models/bert")
	b := e.batch(t, "right")
	for name, o := range map[string]convert.OpenOptions{"checkpoint": {Unnormalized: true}, "ONNX": {Unnormalized: true, ONNX: true}} {
		m := open(t, dir, o)
		if !m.Modules.Normalize {
			t.Errorf("%s: the modules do not normalize", name)
		}
		if _, err := m.Raise(); err != nil {
			t.Fatal(err)
		}
		e.near(t, name, outputs(t, m.Graph, b)["sentence_embedding"].data, e.floats(t, "right.sentence_embedding.mean").data)
		out := filepath.Join(t.TempDir(), "out")
		if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		want := e.floats(t, "right.sentence_embedding.mean_norm").data
		e.near(t, name+", saved", run(t, openFile(t, filepath.Join(out, "onnx", "model.onnx")), b)["sentence_embedding"].data, want)
		if again := open(t, out, convert.OpenOptions{}); !again.Modules.Normalize {
			t.Errorf("%s: the saved modules do not normalize", name)
		}
	}
	no := false
	if m := open(t, dir, convert.OpenOptions{Unnormalized: true, Normalize: &no}); m.Modules.Normalize {
		t.Error("Normalize: false is not in the modules")
	}
}
