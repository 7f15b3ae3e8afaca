//go:build interop

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// surgeryTexts are encoded by graft and by the libraries.
var surgeryTexts = []string{"the quick brown fox", "where is the capital of france", "one", "copper conducts heat well in every weather"}

// TestInteropSurgery: directories that prune and quantize write load in sentence-transformers, with torch where there is
// a checkpoint and with ONNX Runtime, and give the vectors that they give here.
func TestInteropSurgery(t *testing.T) {
	needNative(t)
	interpreter := os.Getenv("GRAFT_PYTHON_OPTIMUM")
	if interpreter == "" {
		absent(t, errors.New("GRAFT_PYTHON_OPTIMUM is not set: run make interop"))
	}
	out := t.TempDir()
	var jobs [][2]string // a directory and how it is loaded
	for _, made := range []struct {
		args     []string
		backends []string
	}{
		{[]string{"prune", fixtureModel, "--keep", "0,2"}, []string{"torch", "onnx"}},
		{[]string{"prune", fixtureModel, "--heads", "1", "--ffn", "0.5"}, []string{"onnx"}}, // no config can say this
		{[]string{"prune", fixtureModel, "--dim", "8"}, []string{"torch", "onnx"}},
		{[]string{"quantize", fixtureModel}, []string{"onnx"}},
		{[]string{"quantize", fixtureModel, "--scheme", "int8-dynamic"}, []string{"onnx"}},
		{[]string{"quantize", fixtureModel, "--scheme", "int8-weight"}, []string{"onnx"}},
		{[]string{"quantize", fixtureModel, "--scheme", "int4-weight"}, []string{"onnx"}},
	} {
		dir := filepath.Join(out, strings.NewReplacer("--", "", ",", "").Replace(strings.Join(append(made.args[:1:1], made.args[2:]...), "-")))
		graft(t, append(made.args, "-o", dir)...)
		for _, b := range made.backends {
			jobs = append(jobs, [2]string{dir, b})
		}
	}
	task, err := json.Marshal(map[string]any{"texts": surgeryTexts, "jobs": jobs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(interpreter, filepath.Join("..", "..", "testdata", "models", "load.py"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(task), os.Stderr
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "CUDA_VISIBLE_DEVICES=")
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var results []json.RawMessage
	if err := json.Unmarshal(text, &results); err != nil || len(results) != len(jobs) {
		t.Fatalf("%d results of %d jobs: %v\n%s", len(results), len(jobs), err, text)
	}
	for i, j := range jobs {
		name := filepath.Base(j[0]) + ", " + j[1]
		var got [][]float64
		if err := json.Unmarshal(results[i], &got); err != nil {
			t.Errorf("%s: %s", name, results[i])
			continue
		}
		closeTo(t, name, got, embedded(t, j[0]))
	}
}

// embedded are graft's vectors of surgeryTexts.
func embedded(t *testing.T, dir string) [][]float64 {
	t.Helper()
	input, output := filepath.Join(t.TempDir(), "texts.txt"), filepath.Join(t.TempDir(), "vectors.jsonl")
	if err := os.WriteFile(input, []byte(strings.Join(surgeryTexts, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	graft(t, "embed", dir, "--provider", "cpu", "--input", input, "--output", output)
	text, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	for line := range strings.Lines(string(text)) {
		var row struct{ Embedding []float64 }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row.Embedding)
	}
	return rows
}

// closeTo compares vectors by their cosine: kernels of integers differ between versions of the runtime.
func closeTo(t *testing.T, name string, got, want [][]float64) {
	t.Helper()
	const least = 0.9999
	if len(got) != len(want) {
		t.Errorf("%s: %d vectors, want %d", name, len(got), len(want))
		return
	}
	for i, w := range want {
		if len(got[i]) != len(w) {
			t.Errorf("%s: text %d: %d features, want %d", name, i, len(got[i]), len(w))
			continue
		}
		var gw, gg, ww float64
		for k := range w {
			gw, gg, ww = gw+got[i][k]*w[k], gg+got[i][k]*got[i][k], ww+w[k]*w[k]
		}
		if c := gw / math.Sqrt(gg*ww); !(c >= least) {
			t.Errorf("%s: text %d: cosine %.6f", name, i, c)
		}
	}
}
