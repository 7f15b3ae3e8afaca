package convert_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
)

func TestAdapterMistakes(t *testing.T) {
	config := func(key string, value any) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "adapter_config.json"), func(m map[string]any) { m[key] = value })
		}
	}
	rename := func(old, new string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			renameTensors(t, dir, func(name string) string { return strings.ReplaceAll(name, old, new) })
		}
	}
	for _, test := range []struct {
		name   string
		want   string
		change func(t *testing.T, dir string)
	}{
		{"another kind", "peft_type is IA3", config("peft_type", "IA3")},
		{"DoRA", "use_dora is true", config("use_dora", true)},
		{"trained biases", "bias is all", config("bias", "all")},
		{"whole modules", "modules_to_save is [classifier]", config("modules_to_save", []string{"classifier"})},
		{"Conv1D", "fan_in_fan_out is true", config("fan_in_fan_out", true)},
		{"PiSSA", "init_lora_weights is pissa", config("init_lora_weights", "pissa")},
		{"two alphas", `"query" and "self.query" both match`, config("alpha_pattern", map[string]any{"query": 1, "self.query": 2})},
		{"not JSON", "adapter_config.json", func(t *testing.T, dir string) {
			os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte("{"), 0o666)
		}},
		{"no weights", "adapter_model.safetensors nor adapter_model.bin", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "adapter_model.safetensors")) }},
		{"an embedding", `"base_model.model.encoder.layer.0.attention.self.query.lora_embedding_A"`, rename("lora_A.weight", "lora_embedding_A")},
		{"half of it", `"encoder.layer.0.attention.self.query" has only one of`, func(t *testing.T, dir string) {
			renameTensors(t, dir, func(name string) string {
				if strings.HasSuffix(name, "layer.0.attention.self.query.lora_B.weight") {
					return ""
				}
				return name
			})
		}},
		{"another model", `it adapts the module "encoder.layer.7.attention.self.query", and "init" has no such linear module`, rename("layer.1.", "layer.7.")},
		{"another size", `module "encoder.layer.0.intermediate.dense": lora_A is [4 32] and lora_B [32 4], want [r 32] and [64 r]`, rename("attention.self.query", "intermediate.dense")},
		{"no base", "names none", config("base_model_name_or_path", nil)},
		{"base gone", `"../elsewhere"`, config("base_model_name_or_path", "../elsewhere")},
		{"base on the hub", `"org/name" is not in the cache`, config("base_model_name_or_path", "org/name")},
		{"base is an adapter", "is an adapter itself", config("base_model_name_or_path", "../pickled")},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := copyAdapter(t)
			test.change(t, dir)
			m, err := convert.Open(dir, convert.OpenOptions{Hub: &convert.Hub{CacheDir: t.TempDir(), Offline: true}})
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			for _, want := range []string{"read model", fmt.Sprintf("%q", dir), test.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %s", err, want)
				}
			}
		})
	}
	if _, err := convert.Open("../testdata/lora/llama/init", convert.OpenOptions{Adapter: copyAdapter(t)}); err == nil || !strings.Contains(err.Error(), `adapts the module "encoder.layer.0.attention.self.query"`) {
		t.Errorf("bert's adapter on llama: %v", err)
	}
}

// A graph with an adapter in it is no model to save, and an adapter over an adapter no adapter.
func TestAdapterNotMerged(t *testing.T) {
	m := open(t, "../testdata/models/bert", convert.OpenOptions{})
	var weights []*graph.Tensor
	whole := *m
	whole.Graph, weights = insert(t, m, loraOptions(m))
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := convert.Save(context.Background(), dir, &whole, convert.SaveOptions{}); err == nil || !strings.Contains(err.Error(), "not merged") {
		t.Errorf("saved with an adapter in the graph: %v", err)
	}
	b := readExpected(t, "../testdata/models/bert").batch(t, "right")
	want := outputs(t, whole.Graph, b)
	if err := whole.MergeLoRA(); err != nil {
		t.Fatal(err)
	}
	if _, err := convert.Save(context.Background(), dir, &whole, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, "merged", b, outputs(t, open(t, dir, convert.OpenOptions{}).Graph, b), want, 1e-5)
	within(t, "merged ONNX", b, run(t, openFile(t, filepath.Join(dir, "onnx", "model.onnx")), b), want, 1e-5)

	adapted := open(t, "../testdata/lora/bert/lora/adapter_final", convert.OpenOptions{})
	if _, err := adapted.NewAdapter(loraOptions(m), weights); err == nil || !strings.Contains(err.Error(), "export it first") {
		t.Errorf("an adapter over an adapter: %v", err)
	}
	if _, err := m.NewAdapter(loraOptions(m), nil); err == nil || !strings.Contains(err.Error(), "no weights") {
		t.Errorf("an adapter of nothing: %v", err)
	}
}
