package convert_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
)

// A checkpoint of the original code is read without its adapters, which a warning says; trained, it keeps them
// and is the same model when it is opened again.
func TestJinaV3Code(t *testing.T) {
	const from = "../testdata/models/jina-embeddings-v3-code"
	m := open(t, from, convert.OpenOptions{Pooling: "mean"})
	if m.Arch.Name != "jina-embeddings-v3" || !slices.ContainsFunc(m.Warnings, func(w string) bool { return strings.Contains(w, "adapters for tasks are left out (30 tensors)") }) {
		t.Errorf("architecture %s, warnings %q", m.Arch.Name, m.Warnings)
	}
	if err := m.SetWeights(trained(t, m)); err != nil {
		t.Fatal(err)
	}
	b := readExpected(t, from).batch(t, "right")
	want := outputs(t, m.Graph, b)
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := convert.Save(context.Background(), dir, m, saveTrained); err != nil {
		t.Fatal(err)
	}
	within(t, "opened again", b, outputs(t, open(t, dir, convert.OpenOptions{}).Graph, b), want, 0)
	before, after := stored(t, from), stored(t, dir)
	for name, x := range before {
		if strings.Contains(name, ".lora_") && after[name] != x {
			t.Errorf("tensor %q is not the one that was there", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d tensors, want %d", len(after), len(before))
	}
}

// A weight under another parametrization than adapters is not the weight that a model computes with.
func TestOtherParametrization(t *testing.T) {
	dir := copyModel(t, "jina-embeddings-v3-code")
	rewrite(t, dir, func(name string) string {
		return strings.Replace(name, "layers.1.mlp.fc1.parametrizations.weight.0.lora_A", "layers.1.mlp.fc1.parametrizations.weight.0.scale", 1)
	})
	if m, err := convert.Open(dir, convert.OpenOptions{}); err == nil || !strings.Contains(err.Error(), `lacks 1 tensors: ["roberta.encoder.layers.1.mlp.fc1.weight"]`) {
		if err == nil {
			m.Close()
		}
		t.Errorf("error %v", err)
	}
}
