//go:build interop

package main

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// python runs a program in the environment of make interop, and returns what it prints.
func python(t *testing.T, args ...string) []byte {
	t.Helper()
	interpreter := os.Getenv("GRAFT_PYTHON")
	if interpreter == "" {
		absent(t, errors.New("GRAFT_PYTHON is not set: run make interop"))
	}
	cmd := exec.Command(interpreter, args...)
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "CUDA_VISIBLE_DEVICES=")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return out
}

var (
	fixtureModel   = filepath.Join("..", "..", "testdata", "models", "bert")
	fixtureDataset = filepath.Join("..", "..", "testdata", "eval", "dataset")
)

// TestInteropEvalResults: mteb loads what graft eval writes, the model's description included, and
// pytrec_eval gives the run the same scores.
func TestInteropEvalResults(t *testing.T) {
	needNative(t)
	out := t.TempDir()
	var printed struct{ Models []evalReport }
	text := graft(t, "eval", fixtureModel, "--task", "FixtureRetrieval", "--data", fixtureDataset, "-o", out, "--provider", "cpu", "--save-run", "--save-predictions", "--json")
	if err := json.Unmarshal(text, &printed); err != nil {
		t.Fatal(err)
	}
	graft(t, "eval", fixtureModel, "--task", "SciFact", "--data", fixtureDataset, "-o", out, "--provider", "cpu")
	runs, err := filepath.Glob(filepath.Join(out, "runs", "*", "*", "FixtureRetrieval.trec"))
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs %q: %v", runs, err)
	}
	var got struct {
		Models, Loaded []string
		Scores         map[string]map[string]any
		Pytrec         map[string]map[string]float64
	}
	text = python(t, filepath.Join("..", "..", "testdata", "eval", "load_results.py"), out, runs[0], filepath.Join(fixtureDataset, "qrels", "test.tsv"))
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if !slices.Contains(got.Models, "graft/bert") || !slices.Contains(got.Loaded, "SciFact") {
		t.Errorf("mteb loaded the models %q and the tasks %q", got.Models, got.Loaded)
	}
	if n := len(got.Scores["FixtureRetrieval"]); n != 152 {
		t.Errorf("mteb reads %d keys in an entry, want 152", n)
	}
	mean := 0.0
	for _, values := range got.Pytrec {
		mean += values["ndcg_cut_10"] / float64(len(got.Pytrec))
	}
	ours := printed.Models[0].Tasks[0].Scores["ndcg_at_10"]
	if d := math.Abs(mean - ours); !(d <= 6e-6) {
		t.Errorf("nDCG@10 is %.6f by pytrec_eval, %.6f here", mean, ours)
	}
	checkRunSettings(t, out)
}

// checkRunSettings: run_settings.jsonl is a line of JSON for each task.
func checkRunSettings(t *testing.T, out string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(out, "results", "*", "*", "run_settings.jsonl"))
	if len(files) != 1 {
		t.Fatalf("run_settings.jsonl: %q", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 {
		t.Errorf("%d lines of settings for two tasks", len(lines))
	}
	for _, line := range lines {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil || len(row) == 0 {
			t.Errorf("%q: %v", line, err)
		}
	}
}

const readVectors = `
import json, sys
import numpy as np
npy, jsonl, parquet = sys.argv[1:]
a = np.load(npy)
rows = [json.loads(line) for line in open(jsonl, encoding="utf-8")]
b = np.array([r["embedding"] for r in rows], dtype=np.float32)
result = {"shape": a.shape, "dtype": str(a.dtype), "equal": bool((a == b).all()), "texts": [r["text"] for r in rows], "parquet": None}
try:
    import pyarrow.parquet as pq
    table = pq.read_table(parquet).to_pydict()
    c = np.array(table["embedding"], dtype=np.float32)
    result["parquet"] = bool((a == c).all()) and table["text"] == result["texts"]
except ImportError:
    pass
print(json.dumps(result))
`

// TestInteropVectors: NumPy, JSON and Arrow read the same vectors.
func TestInteropVectors(t *testing.T) {
	needNative(t)
	dir := t.TempDir()
	texts := []string{"one", "", "two words", "день", "one"}
	input := filepath.Join(dir, "texts.txt")
	if err := os.WriteFile(input, []byte(strings.Join(texts, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", readVectors}
	for _, name := range []string{"v.npy", "v.jsonl", "v.parquet"} {
		graft(t, "embed", fixtureModel, "--provider", "cpu", "--input", input, "--output", filepath.Join(dir, name))
		args = append(args, filepath.Join(dir, name))
	}
	var got struct {
		Shape   []int
		Dtype   string
		Equal   bool
		Texts   []string
		Parquet *bool
	}
	if err := json.Unmarshal(python(t, args...), &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Shape, []int{5, 32}) || got.Dtype != "float32" || !got.Equal || !slices.Equal(got.Texts, texts) {
		t.Errorf("NumPy reads %+v", got)
	}
	switch {
	case got.Parquet == nil:
		t.Log("pyarrow is not in the environment: Parquet is not read")
	case !*got.Parquet:
		t.Error("Arrow reads other vectors or texts")
	}
}
