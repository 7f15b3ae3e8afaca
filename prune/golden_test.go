//go:build golden

package prune_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/evaluate"
	"graft/prune"
	"graft/runtime"
	"graft/runtime/tokenizer"
)

// absent skips a golden that lacks something; under CI that is a failure.
func absent(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// sciFact are its first 200 documents, as an evaluation encodes them.
func sciFact(t *testing.T) []string {
	t.Helper()
	root := os.Getenv("GRAFT_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	d, err := evaluate.OpenDataset(filepath.Join(root, "data", "scifact"), "test")
	if err != nil {
		absent(t, err)
	}
	var list []string
	for document, err := range d.Documents {
		if err != nil {
			t.Fatal(err)
		}
		if list = append(list, document.EncoderText()); len(list) == 200 {
			break
		}
	}
	return list
}

// Block influence of real models on 200 documents at 128 tokens, as a loop in PyTorch over the
// hidden states of transformers measured it.
func TestGoldenBlockInfluence(t *testing.T) {
	needORT(t)
	models := os.Getenv("GRAFT_MODELS")
	if models == "" {
		absent(t, errors.New("GRAFT_MODELS is not set: run make golden"))
	}
	const tolerance = 0.003
	for name, want := range map[string][]float64{
		"minilm": {0.157, 0.117, 0.133, 0.149, 0.182, 0.449},
		"mpnet":  {0.267, 0.206, 0.185, 0.173, 0.168, 0.163, 0.150, 0.167, 0.195, 0.192, 0.213, 0.430},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(models, name)
			if _, err := os.Stat(dir); err != nil {
				absent(t, err)
			}
			m := openModel(t, dir, convert.OpenOptions{})
			tok, err := tokenizer.FromFile(m.Tokenizer, tokenizer.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer tok.Close()
			run := runtime.Model{Graph: m.Graph, Tokenizer: tok, MaxLength: m.Modules.MaxLength}
			recorder, err := runtime.NewRecorder(context.Background(), run, sciFact(t), runtime.RecordOptions{MaxLength: 128})
			if err != nil {
				t.Fatal(err)
			}
			p, err := prune.New(context.Background(), m.Graph, prune.Options{Activations: recorder})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Layers) != len(want) {
				t.Fatalf("%d layers, want %d", len(p.Layers), len(want))
			}
			for i, w := range want {
				if got := *p.Layers[i].Score; !(math.Abs(got-w) <= tolerance) {
					t.Errorf("layer %d: influence %.4f, want %.3f", i, got, w)
				}
			}
		})
	}
}
