package convert_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
)

// A checkpoint that lacks a shard is refused by the shard's name.
func TestMissingShard(t *testing.T) {
	dir := copyModel(t, "llama")
	const shard = "model-00002-of-00004.safetensors"
	if err := os.Remove(filepath.Join(dir, shard)); err != nil {
		t.Fatal(err)
	}
	_, err := convert.Open(dir, convert.OpenOptions{})
	if err == nil || !strings.Contains(err.Error(), shard) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("error %v, want one that names the missing %s", err, shard)
	}
}

// An adapter as published, alone in its folder over a sharded base with a language-model head (RepLLaMA's layout, whose own
// file is the pickle adapter_model.bin: testdata/systems), is merged when it is exported; the head is left out of the graph.
func TestPublishedAdapter(t *testing.T) {
	base := copyModel(t, "llama")
	m := open(t, base, convert.OpenOptions{Pooling: "last"})
	var weights []*graph.Tensor
	whole := *m
	whole.Graph, weights = insert(t, m, loraOptions(m))
	a, err := m.NewAdapter(loraOptions(m), weights)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "adapter")
	if _, err := convert.SaveAdapter(context.Background(), dir, m, a, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, extra := range []string{"graft.json", "tokenizer.json", "modules.json"} { // the hub's folder has the adapter alone
		os.Remove(filepath.Join(dir, extra))
	}
	b := readExpected(t, "../testdata/models/llama").batch(t, "right")
	want := outputs(t, whole.Graph, b)
	out, _ := save(t, dir, convert.OpenOptions{Pooling: "last"}, convert.SaveOptions{})
	within(t, "merged at export", b, run(t, openFile(t, filepath.Join(out, "onnx", "model.onnx")), b), want, 1e-5)
	for _, name := range open(t, out, convert.OpenOptions{}).Unused {
		if name != "lm_head.weight" {
			t.Errorf("unused: %s", name)
		}
	}
}
