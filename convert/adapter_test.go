package convert_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/pass"
)

// An adapter that PEFT trained, merged here, gives the weights that PEFT merged: opened alone, with
// its base named, and from torch.save's format.
func TestAdapterGolden(t *testing.T) {
	for _, test := range []struct {
		name, path string
		adapter    string // beside the base; "": path is the adapter
	}{
		{"bert", "../testdata/lora/bert/lora/adapter_final", ""},
		{"bert", "../testdata/lora/bert/init", "../testdata/lora/bert/lora/adapter_final"},
		{"bert", "../testdata/lora/bert/lora/pickled", ""},
		{"llama", "../testdata/lora/llama/lora/adapter_final", ""},
		{"llama", "../testdata/lora/llama/init", "../testdata/lora/llama/lora/adapter_final"},
	} {
		m := open(t, test.path, convert.OpenOptions{Adapter: test.adapter})
		merged, err := safetensors.Open(filepath.Join("../testdata/lora", test.name, "lora", "merged.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer merged.Close()
		base := stored(t, filepath.Join("../testdata/lora", test.name, "init"))
		changed := 0
		for _, x := range merged.Tensors {
			v := m.Graph.Graph.Initializer(x.Name)
			if v == nil {
				t.Errorf("%s: no weight %q", test.path, x.Name)
				continue
			}
			got, err := v.Init.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			want, _ := x.Float32()
			(&expected{atol: 1e-7, rtol: 1e-6}).near(t, test.path+": "+x.Name, got, want)
			if raw, _ := x.Bytes(); !strings.HasSuffix(base[x.Name], string(raw)) {
				changed++
			}
		}
		if changed < 4 {
			t.Errorf("%s: only %d weights of the golden are not the base's", test.path, changed)
		}
	}
}

// The adapter of a decoder that was opened to look both ways makes its base look both ways when it is opened.
func TestAdapterBidirectional(t *testing.T) {
	from := "../testdata/models/mistral"
	m := open(t, from, convert.OpenOptions{Bidirectional: true})
	o := loraOptions(m)
	g, weights := insert(t, m, o)
	a, err := m.NewAdapter(o, weights)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "adapter")
	if _, err := convert.SaveAdapter(context.Background(), dir, m, a, convert.SaveOptions{Step: convert.Step{Command: "train"}}); err != nil {
		t.Fatal(err)
	}
	b := readExpected(t, from).batch(t, "right")
	adapted := outputs(t, g, b)
	within(t, "opened", b, outputs(t, open(t, dir, convert.OpenOptions{}).Graph, b), adapted, 2e-5)
	within(t, "beside its base", b, outputs(t, open(t, from, convert.OpenOptions{Adapter: dir}).Graph, b), adapted, 2e-5)
}

// insert adds adapters with first and second factors that are not zero to a copy of m's graph.
func insert(t *testing.T, m *convert.Model, o pass.LoRAOptions) (g *graph.Model, weights []*graph.Tensor) {
	t.Helper()
	g = m.Graph.Clone()
	if _, err := pass.InsertLoRA(g, o); err != nil {
		t.Fatal(err)
	}
	for _, v := range g.Graph.Initializers {
		if !strings.HasPrefix(v.Name, pass.LoRAPrefix) {
			continue
		}
		values, _ := v.Init.Float32s()
		for i := range values {
			values[i] += 0.05 * float32(math.Sin(float64(i+len(v.Name))))
		}
		v.Init = graph.NewTensor(v.Name, values, v.Init.Shape...)
		weights = append(weights, v.Init)
	}
	return g, weights
}

func loraOptions(m *convert.Model) pass.LoRAOptions {
	return pass.LoRAOptions{Rank: 4, Alpha: 12, Targets: regexp.MustCompile(m.LoRATargets()), Seed: 5}
}

// blockModules are the linear modules of a block, sorted, per architecture.
var blockModules = map[string]string{
	"bert":               bertModules,
	"roberta":            bertModules,
	"xlm-roberta":        bertModules,
	"ernie":              bertModules,
	"electra":            bertModules,
	"mpnet":              "attention.attn.k attention.attn.o attention.attn.q attention.attn.v intermediate.dense output.dense",
	"distilbert":         "attention.k_lin attention.out_lin attention.q_lin attention.v_lin ffn.lin1 ffn.lin2",
	"albert":             "attention.dense attention.key attention.query attention.value ffn ffn_output",
	"deberta-v2":         "attention.output.dense attention.self.key_proj attention.self.query_proj attention.self.value_proj intermediate.dense output.dense",
	"modernbert":         "attn.Wo attn.Wqkv mlp.Wi mlp.Wo",
	"nomic-bert":         "attn.Wqkv attn.out_proj mlp.fc11 mlp.fc12 mlp.fc2",
	"jina-bert":          "attention.output.dense attention.self.key attention.self.query attention.self.value mlp.gated_layers mlp.wo",
	"jina-embeddings-v3": "mixer.Wqkv mixer.out_proj mlp.fc1 mlp.fc2",
	"gte":                "attention.o_proj attention.qkv_proj mlp.down_proj mlp.up_gate_proj",
	"t5":                 "DenseReluDense.wi DenseReluDense.wo SelfAttention.k SelfAttention.o SelfAttention.q SelfAttention.v",
	"eurobert":           decoderModules,
	"llama":              decoderModules,
	"mistral":            decoderModules,
	"qwen2":              decoderModules,
	"qwen3":              decoderModules,
	"gemma":              decoderModules,
	"gemma2":             decoderModules,
	"gemma3-text":        decoderModules,
	"phi3":               "mlp.down_proj mlp.gate_up_proj self_attn.o_proj self_attn.qkv_proj",
	"olmo2":              decoderModules,
	"granite":            decoderModules,
	"smollm3":            decoderModules,
	"nvembed":            decoderModules,
}

// firstBlock is what the names of the first block's modules begin with where that is not layers.0 or its like.
var firstBlock = map[string]string{"albert": `_groups\.0\.albert_layers\.0\.`, "t5": `^encoder\.block\.0\.layer\.[01]\.`}

const (
	bertModules    = "attention.output.dense attention.self.key attention.self.query attention.self.value intermediate.dense output.dense"
	decoderModules = "mlp.down_proj mlp.gate_proj mlp.up_proj self_attn.k_proj self_attn.o_proj self_attn.q_proj self_attn.v_proj"
)

// For every architecture: all linear modules of the blocks are adapted unless told otherwise; an
// adapter that is saved and opened computes what the graph with it inserted does.
func TestAdapterOfEveryArchitecture(t *testing.T) {
	for _, arch := range convert.Archs() {
		t.Run(arch.Name, func(t *testing.T) {
			from := filepath.Join("../testdata/models", arch.Name)
			asked := convert.OpenOptions{Pooling: "mean", Prompts: map[string]string{"query": "find: "}}
			if arch.Latent != nil {
				asked.Pooling = "" // such a model's modules.json says mean of what its own head makes of the tokens
			}
			m := open(t, from, asked)
			o := loraOptions(m)
			modules, err := pass.InsertLoRA(m.Graph.Clone(), o)
			if err != nil {
				t.Fatal(err)
			}
			first := regexp.MustCompile(cmp.Or(firstBlock[arch.Name], `(^|\.)layers?\.0\.`))
			var kinds []string
			for _, name := range modules {
				if at := first.FindStringIndex(name); at != nil {
					kinds = append(kinds, name[at[1]:])
				}
			}
			blocks := m.Sizes.Layers
			if arch.Name == "albert" {
				blocks = 2 // groups, whose layers share their modules
			}
			if want := strings.Fields(blockModules[arch.Name]); !slices.Equal(slices.Sorted(slices.Values(kinds)), want) || len(modules) != len(want)*blocks {
				t.Errorf("%d modules, in each block %q; want %q", len(modules), slices.Sorted(slices.Values(kinds)), want)
			}

			o.RSLoRA, o.Dropout = arch.Name == "qwen3", 0.1
			g, weights := insert(t, m, o)
			a, err := m.NewAdapter(o, weights)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "adapter")
			if _, err := convert.SaveAdapter(context.Background(), dir, m, a, convert.SaveOptions{Step: convert.Step{Command: "train"}}); err != nil {
				t.Fatal(err)
			}
			for name := range stored(t, filepath.Join(dir, "adapter_model.safetensors")) {
				if !strings.HasPrefix(name, "base_model.model.") || strings.Contains(name, ".model.model.") || strings.Contains(name, "roberta.") {
					t.Errorf("tensor %q: not named as in the base's AutoModel", name)
				}
			}
			again := open(t, dir, convert.OpenOptions{})
			b := readExpected(t, from).batch(t, "right")
			adapted := outputs(t, g, b)
			within(t, "opened", b, outputs(t, again.Graph, b), adapted, 2e-5)
			if !differ(outputs(t, m.Graph, b), adapted) {
				t.Error("the adapter changes nothing")
			}
			if again.Modules.Prompts["query"] != "find: " || len(again.Steps) != 1 || again.Steps[0].Command != "train" {
				t.Errorf("modules %+v, steps %+v", again.Modules, again.Steps)
			}
			out, _ := save(t, dir, convert.OpenOptions{}, convert.SaveOptions{NoONNX: true})
			within(t, "exported", b, outputs(t, open(t, out, convert.OpenOptions{}).Graph, b), outputs(t, again.Graph, b), 1e-6)
		})
	}
}

// An adapter is merged into its base's checkpoint also where the base's folder has an ONNX file, whose names lack the checkpoint's prefix.
func TestAdapterBesideONNX(t *testing.T) {
	const from = "../testdata/models/llama"
	base, _ := save(t, from, convert.OpenOptions{}, convert.SaveOptions{})
	m := open(t, base, convert.OpenOptions{})
	o := loraOptions(m)
	g, weights := insert(t, m, o)
	a, err := m.NewAdapter(o, weights)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "adapter")
	if _, err := convert.SaveAdapter(context.Background(), dir, m, a, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	b := readExpected(t, from).batch(t, "right")
	within(t, "opened", b, outputs(t, open(t, dir, convert.OpenOptions{ONNX: true}).Graph, b), outputs(t, g, b), 2e-5)
}

// An adapter of somebody else's ONNX file, whose modules are known by their nodes' names, too.
func TestAdapterOfONNX(t *testing.T) {
	file := foreign(t, "bert", 17, nil, func(g *graph.Graph) {
		for i, v := range g.Initializers {
			if stem, ok := strings.CutSuffix(v.Name, ".weight.T"); ok {
				for _, n := range g.Nodes {
					if slices.Contains(n.Inputs, v) {
						n.Name = "/" + strings.ReplaceAll(stem, ".", "/") + "/MatMul"
					}
				}
				v.Name = fmt.Sprintf("onnx::MatMul_%d", i)
			}
		}
	})
	m := open(t, file, convert.OpenOptions{})
	if _, err := m.Raise(); err != nil {
		t.Fatal(err)
	}
	o := pass.LoRAOptions{Rank: 2, Alpha: 4, Targets: regexp.MustCompile(`query$|intermediate\.dense$`)}
	g, weights := insert(t, m, o)
	if len(weights) != 12 || !slices.ContainsFunc(weights, func(w *graph.Tensor) bool {
		return w.Name == "base_model.model.encoder.layer.2.attention.self.query.lora_B.weight"
	}) {
		t.Fatalf("%d weights, such as %q", len(weights), weights[0].Name)
	}
	a, err := m.NewAdapter(o, weights)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "adapter")
	if _, err := convert.SaveAdapter(context.Background(), dir, m, a, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	b := readExpected(t, "../testdata/models/bert").batch(t, "right")
	want := outputs(t, g, b)
	again := open(t, dir, convert.OpenOptions{})
	within(t, "opened", b, outputs(t, again.Graph, b), want, 1e-5)
	if again.Graph.ProducerName != "graft" {
		t.Errorf("made by %q: an engine would be given the form that passes look for", again.Graph.ProducerName)
	}
	out, _ := save(t, dir, convert.OpenOptions{}, convert.SaveOptions{})
	within(t, "exported", b, run(t, openFile(t, filepath.Join(out, "onnx", "model.onnx")), b), want, 1e-5)
}

// The adapter's names may carry the prefix of a class with a head, or lack the checkpoint's.
func TestAdapterPrefixes(t *testing.T) {
	b := readExpected(t, "../testdata/models/llama").batch(t, "right")
	m := open(t, "../testdata/models/llama", convert.OpenOptions{}) // its tensors begin with "model."
	g, weights := insert(t, m, loraOptions(m))
	a, err := m.NewAdapter(loraOptions(m), weights)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "adapter")
	if _, err := convert.SaveAdapter(context.Background(), dir, m, a, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	want := outputs(t, g, b)
	for _, insert := range []string{"", "model.", "model.model.", "base.model."} {
		renameTensors(t, dir, func(name string) string {
			return strings.Replace(name, "base_model.model.", "base_model.model."+insert, 1)
		})
		within(t, insert, b, outputs(t, open(t, dir, convert.OpenOptions{}).Graph, b), want, 1e-5)
		renameTensors(t, dir, func(name string) string { return strings.Replace(name, insert+"layers.", "layers.", 1) })
	}
	renameTensors(t, dir, func(name string) string { return strings.Replace(name, ".weight", ".default.weight", 1) })
	within(t, "named by adapter", b, outputs(t, open(t, dir, convert.OpenOptions{}).Graph, b), want, 1e-5)
}

// renameTensors writes an adapter's file anew; tensors named "" are left out.
func renameTensors(t *testing.T, dir string, rename func(string) string) {
	t.Helper()
	file := filepath.Join(dir, "adapter_model.safetensors")
	c, err := safetensors.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var entries []safetensors.Entry
	for _, x := range c.Tensors {
		if name := rename(x.Name); name != "" {
			entries = append(entries, safetensors.Entry{Name: name, DType: x.DType, Shape: x.Shape})
		}
	}
	w, err := safetensors.Create(file, nil, entries)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, x := range c.Tensors {
		if name := rename(x.Name); name != "" {
			if err := w.Tensor(name, func(out io.Writer) error { _, err := x.WriteTo(out); return err }); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// Fields of adapter_config.json change the scale as PEFT says.
func TestAdapterScale(t *testing.T) {
	const module = "encoder.layer.1.attention.self.query"
	for name, test := range map[string]struct {
		change func(map[string]any)
		want   float64
	}{
		"alpha/r":       {func(map[string]any) {}, 2},
		"alpha":         {func(m map[string]any) { m["lora_alpha"] = 2.5 }, 0.625},
		"rsLoRA":        {func(m map[string]any) { m["use_rslora"] = true }, 4},
		"alpha pattern": {func(m map[string]any) { m["alpha_pattern"] = map[string]any{"self.query": 1} }, 0.25},
		"pattern of another module": {func(m map[string]any) {
			m["alpha_pattern"] = map[string]any{"value": 1, `.*layer\.0.*key`: 3}
			m["rank_pattern"] = map[string]any{"value": 3}
			m["r"] = 16 // the tensors have rank 4
		}, 2},
	} {
		dir := copyAdapter(t)
		edit(t, filepath.Join(dir, "adapter_config.json"), test.change)
		a, err := convert.ReadAdapter(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		for _, l := range a.Modules {
			if l.Module == module && math.Abs(l.Scale-test.want) > 1e-12 {
				t.Errorf("%s: scale %g, want %g", name, l.Scale, test.want)
			}
		}
	}
}

// copyAdapter copies the adapter of bert to a folder that a test may change, its base beside it.
func copyAdapter(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("../testdata/lora/bert")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "lora", "adapter_final")
}

// An adapter's own tokenizer stands above its base's, from a slow tokenizer's files too.
func TestAdapterSlowTokenizer(t *testing.T) {
	dir := copyAdapter(t)
	for name, content := range map[string]string{"vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n", "added_tokens.json": `{"<x>": 6}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	texts, ids := []string{"hello <x> world"}, [][]int32{{2, 5, 6, 1, 3}}
	m := open(t, dir, convert.OpenOptions{})
	sameIDs(t, m.Tokenizer, texts, ids)
	out := filepath.Join(t.TempDir(), "out")
	if _, err := convert.Save(t.Context(), out, m, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	sameIDs(t, filepath.Join(out, "tokenizer.json"), texts, ids)
	raw, err := os.ReadFile(filepath.Join(out, "tokenizer_config.json"))
	if err != nil || !strings.Contains(string(raw), "added_tokens_decoder") {
		t.Errorf("tokenizer_config.json is not the adapter's (%v): %s", err, raw)
	}
	made := m.Tokenizer
	if m.Close(); exists(made) {
		t.Errorf("%s is still there", made)
	}
}
