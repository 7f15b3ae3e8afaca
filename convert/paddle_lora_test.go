package convert_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/pickle"
	"graft/convert/safetensors"
)

// An adapter of PaddleNLP, merged, gives the hidden states that PaddleNLP computes with it: opened alone, on its base and on the same base in
// transformers' layout, and from safetensors.
func TestPaddleAdapter(t *testing.T) {
	const from = "../testdata/paddle/lora"
	e := readExpected(t, from)
	b := e.batch(t, "right")
	for _, test := range []struct{ path, adapter string }{
		{from, ""}, {"../testdata/paddle/llama", from}, {"../testdata/models/llama", from}, {"../testdata/models/llama", safeAdapter(t, from)},
	} {
		m := open(t, test.path, convert.OpenOptions{Adapter: test.adapter})
		e.near(t, test.path, b.real(outputs(t, m.Graph, b)["last_hidden_state"]), b.real(e.floats(t, "right.last_hidden_state")))
	}
}

// safeAdapter is an adapter whose weights are in a shard of safetensors, as PaddleNLP's unified checkpoints have them.
func safeAdapter(t *testing.T, from string) string {
	t.Helper()
	dir := copyDir(t, from)
	c, err := pickle.OpenPaddle(filepath.Join(from, "lora_model_state.pdparams"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const shard = "peft_model-00001-of-00001.safetensors"
	var entries []safetensors.Entry
	files := map[string]string{}
	for _, x := range c.Tensors {
		entries = append(entries, safetensors.Entry{Name: x.Name, DType: x.DType, Shape: x.Shape})
		files[x.Name] = shard
	}
	w, err := safetensors.Create(filepath.Join(dir, shard), map[string]string{"format": "np"}, entries)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, x := range c.Tensors {
		if err := w.Tensor(x.Name, func(out io.Writer) error { _, err := x.WriteTo(out); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	index, err := json.Marshal(map[string]any{"weight_map": files, "type": "lora"})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "peft_model.safetensors.index.json"), index, 0o666)
	}
	if err = errors.Join(err, os.Remove(filepath.Join(dir, "lora_model_state.pdparams"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyDir is a copy of a folder.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// An adapter that would be merged wrongly is refused by the name of what makes it so.
func TestPaddleAdapterMistakes(t *testing.T) {
	for want, change := range map[string]map[string]any{
		"lora_config.json: pissa is true":                  {"pissa": true},
		"lora_config.json: loraga is true":                 {"loraga": true},
		"lora_config.json: trainable_bias is all":          {"trainable_bias": "all"},
		"r is 0 and lora_alpha 6":                          {"r": 0},
		"base model of the adapter: its config names none": {"base_model_name_or_path": nil},
	} {
		dir := copyDir(t, "../testdata/paddle/lora")
		edit(t, filepath.Join(dir, "lora_config.json"), func(m map[string]any) {
			for key, value := range change {
				m[key] = value
			}
		})
		m, err := convert.Open(dir, convert.OpenOptions{})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %s", err, want)
		}
	}
}
