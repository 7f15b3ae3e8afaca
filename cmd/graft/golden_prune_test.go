//go:build golden

package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"graft/evaluate"
)

// MiniLM without the layers of lowest block influence keeps, on SciFact, the nDCG@10 that the same models built in
// PyTorch have.
func TestGoldenPrunedScores(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short for its minute a model: make golden runs it")
	}
	if !has("openvino") {
		t.Skip("the openvino provider is not here")
	}
	const tolerance = 0.004
	data := present(t, sharedData("scifact"))
	model := present(t, filepath.Join(os.Getenv("GRAFT_MODELS"), "minilm"))
	texts := filepath.Join(t.TempDir(), "texts.jsonl")
	list, err := documents(data, 200)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeTexts(texts, list); err != nil {
		t.Fatal(err)
	}
	for layers, want := range map[int]float64{1: 0.624, 2: 0.596} {
		t.Run(strconv.Itoa(layers), func(t *testing.T) {
			dir := t.TempDir()
			pruned := filepath.Join(dir, "pruned")
			graft(t, "prune", model, "-o", pruned, "--layers", strconv.Itoa(layers), "--texts", texts, "--texts-max-length", "128")
			var printed struct{ Models []evalReport }
			text := graft(t, "eval", pruned, "--task", "SciFact", "--data", data, "-o", filepath.Join(dir, "out"), "--provider", "openvino", "--precision", "bf16", "--json")
			if err := json.Unmarshal(text, &printed); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			result, err := evaluate.ReadTaskResult(printed.Models[0].Tasks[0].Files[0])
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := result.Splits[0].Entries[0].Score("ndcg_at_10"); !ok || !(math.Abs(got-want) <= tolerance) {
				t.Errorf("%d layers less: nDCG@10 is %.4f, want %.3f", layers, got, want)
			}
		})
	}
}
