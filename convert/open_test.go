package convert_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph/pass"
)

// edit rewrites a JSON file of a model.
func edit(t *testing.T, path string, change func(m map[string]any)) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	if raw, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o666); err != nil {
		t.Fatal(err)
	}
}

// rewrite writes the checkpoint of a model again with other names; "" drops a tensor.
func rewrite(t *testing.T, dir string, rename func(name string) string) {
	t.Helper()
	c, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var entries []safetensors.Entry
	tensors := map[string]*safetensors.Tensor{}
	for _, x := range c.Tensors {
		if name := rename(x.Name); name != "" {
			entries = append(entries, safetensors.Entry{Name: name, DType: x.DType, Shape: x.Shape})
			tensors[name] = x
		}
	}
	w, err := safetensors.Create(filepath.Join(dir, safetensors.FileName), nil, entries)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for name, x := range tensors {
		err := w.Tensor(name, func(out io.Writer) error {
			_, err := x.WriteTo(out)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// Checkpoints with the names of other times and heads for other tasks give the same values.
func TestNames(t *testing.T) {
	for name, rename := range map[string]func(string) string{
		"prefix": func(n string) string { return "bert." + n },
		"deep":   func(n string) string { return "module.encoder.bert." + n },
		"gamma": func(n string) string {
			return strings.NewReplacer("LayerNorm.weight", "LayerNorm.gamma", "LayerNorm.bias", "LayerNorm.beta").Replace(n)
		},
		"no pooler": func(n string) string {
			if strings.HasPrefix(n, "pooler") {
				return ""
			}
			return n
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyModel(t, "bert")
			rewrite(t, dir, rename)
			e := readExpected(t, dir)
			b := e.batch(t, "right")
			out := run(t, session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{})), b)
			e.near(t, "last_hidden_state", b.real(out["last_hidden_state"]), b.real(e.floats(t, "right.last_hidden_state")))
		})
	}
}

func TestUnused(t *testing.T) {
	for name, want := range map[string][]string{
		"bert":    {"pooler.dense.bias", "pooler.dense.weight"},
		"roberta": {"lm_head.bias", "lm_head.dense.bias", "lm_head.dense.weight", "lm_head.layer_norm.bias", "lm_head.layer_norm.weight"},
		"llama":   {"lm_head.weight"},
		"qwen3":   nil,
	} {
		m, err := convert.Open(filepath.Join("../testdata/models", name), convert.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		if !slices.Equal(m.Unused, want) {
			t.Errorf("%s: unused %q, want %q", name, m.Unused, want)
		}
	}
}

func TestOpenMistakes(t *testing.T) {
	write := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	config := func(key string, value any) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "config.json"), func(m map[string]any) { m[key] = value })
		}
	}
	for _, test := range []struct {
		name   string
		want   []string
		change func(t *testing.T, dir string)
	}{
		{"unknown architecture", []string{`model_type "mobilebert"`, "bert, ", "xlm-roberta"}, config("model_type", "mobilebert")},
		{"config is not JSON", []string{"config.json"}, write("config.json", "{")},
		{"config has another type", []string{"config.json", "hidden_size"}, config("hidden_size", "32")},
		{"no config", []string{"config.json"}, func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "config.json")) }},
		{"too many layers", []string{"1000000000 layers", "55 tensors"}, config("num_hidden_layers", 1000000000)},
		{"no heads", []string{"attention heads is 0"}, config("num_attention_heads", 0)},
		{"heads that do not divide", []string{"32", "5"}, config("num_attention_heads", 5)},
		{"wrong shape", []string{`"embeddings.word_embeddings.weight"`, "[512 32]", "[600 32]"}, config("vocab_size", 600)},
		{"unknown activation", []string{`"swash"`}, config("hidden_act", "swash")},
		{"missing tensors", []string{"lacks 1 tensors", `"encoder.layer.1.output.dense.bias"`}, func(t *testing.T, dir string) {
			rewrite(t, dir, func(n string) string {
				if n == "encoder.layer.1.output.dense.bias" {
					return ""
				}
				return n
			})
		}},
		{"another model's tensors", []string{`"embeddings.word_embeddings.weight"`, "under any prefix"}, func(t *testing.T, dir string) {
			rewrite(t, dir, func(n string) string { return "x" + n })
		}},
		{"truncated weights", []string{"lie outside the file"}, func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "model.safetensors"), 100_000); err != nil {
				t.Fatal(err)
			}
		}},
		{"no weights", []string{"no weights", "pytorch_model.bin"}, func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "model.safetensors"))
			os.Remove(filepath.Join(dir, "pytorch_model.bin"))
		}},
		{"corrupt tokenizer", []string{"tokenizer.json"}, write("tokenizer.json", `{"model":`)},
		{"tokenizer with too many ids", []string{"ids up to 512", "512 rows"}, func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tokenizer.json"), func(m map[string]any) {
				m["added_tokens"] = append(m["added_tokens"].([]any), map[string]any{"id": 512, "content": "<new>"})
			})
		}},
		{"unknown module", []string{`"sentence_transformers.models.CNN"`}, write("modules.json", `[{"path":"","type":"sentence_transformers.models.CNN"}]`)},
		{"module outside", []string{`"../x"`}, write("modules.json", `[{"path":"../x","type":"sentence_transformers.models.Pooling"}]`)},
		{"unknown pooling", []string{`"median"`, "last_8"}, write("1_Pooling/config.json", `{"pooling_mode":"median"}`)},
		{"no pooling", []string{"1_Pooling"}, func(t *testing.T, dir string) { os.RemoveAll(filepath.Join(dir, "1_Pooling")) }},
		{"adapter without a rank", []string{"adapter_config.json", "r is 0"}, func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "config.json"))
			os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte("{}"), 0o666)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := copyModel(t, "bert")
			test.change(t, dir)
			m, err := convert.Open(dir, convert.OpenOptions{})
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			for _, want := range append(test.want, "read model", fmt.Sprintf("%q", dir)) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %s", err, want)
				}
			}
		})
	}
}

func TestOpenPaths(t *testing.T) {
	if _, err := convert.Open("nowhere", convert.OpenOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such path: %v", err)
	}
	if _, err := convert.Open("open_test.go", convert.OpenOptions{}); err == nil || !strings.Contains(err.Error(), "neither a directory nor an .onnx or .gguf file") {
		t.Errorf("a source file: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "x.onnx")
	os.WriteFile(bad, []byte("not a model"), 0o666)
	if _, err := convert.Open(bad, convert.OpenOptions{}); err == nil || !strings.Contains(err.Error(), "x.onnx") {
		t.Errorf("not an ONNX file: %v", err)
	}
}

// A config that leaves keys out has the library's defaults.
func TestConfigDefaults(t *testing.T) {
	for _, a := range convert.Archs() {
		s := a.Config().Sizes()
		if s.Hidden < 256 || s.Layers < 6 || s.Vocab < 30000 || s.Positions < 510 || s.HeadDim < 32 {
			t.Errorf("%s: the defaults give %+v", a.Name, s)
		}
	}
}
