//go:build interop

package convert_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph/pass"
	"graft/runtime/tokenizer"
)

// libraryJob is a task of testdata/lora/load.py, libraryResult what it gives.
type libraryJob struct {
	Kind  string    `json:"kind"`
	Dir   string    `json:"dir"`
	Base  string    `json:"base,omitempty"`
	IDs   [][]int64 `json:"input_ids,omitempty"`
	Mask  [][]int64 `json:"attention_mask,omitempty"`
	Texts []string  `json:"texts,omitempty"`
}

type libraryResult struct {
	Error   string
	Hidden  []float32
	Odd     []string // names that did not match
	Adapted []string
	Vectors [][]float32
}

func loadInLibraries(t *testing.T, jobs []libraryJob) []libraryResult {
	t.Helper()
	interpreter := os.Getenv("GRAFT_PYTHON")
	if interpreter == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("GRAFT_PYTHON is not set: run make interop")
		}
		t.Skip("GRAFT_PYTHON is not set: run make interop")
	}
	task, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(interpreter, "../testdata/lora/load.py")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(task), &stderr
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "CUDA_VISIBLE_DEVICES=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var results []libraryResult
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(jobs) {
		t.Fatalf("%d results of %d jobs: %v\n%s", len(results), len(jobs), err, out)
	}
	return results
}

// rows cuts a batch's tokens into texts.
func rows(x *tokens) [][]int64 {
	return slices.Collect(slices.Chunk(x.data, int(x.shape[1])))
}

var interopModels = []string{"bert", "llama", "modernbert", "mpnet", "roberta", "xlm-roberta", "qwen3", "distilbert", "albert", "deberta-v2", "eurobert", "gemma", "phi3", "olmo2", "granite", "smollm3"}

// What Save writes of a trained model loads in transformers: every tensor has its place, and the
// hidden states are those of the graph.
func TestInteropTrained(t *testing.T) {
	var jobs []libraryJob
	var want []map[string]*array
	var batches []*batch
	models := append(slices.Clone(interopModels), "gte", "jina-embeddings-v3") // whose modules have other names in the library, so no adapter of ours fits them there
	for _, name := range models {
		from := filepath.Join("../testdata/models", name)
		m := open(t, from, convert.OpenOptions{Pooling: "mean"})
		if err := m.SetWeights(trained(t, m)); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), name)
		if _, err := convert.Save(context.Background(), dir, m, saveTrained); err != nil {
			t.Fatal(err)
		}
		b := readExpected(t, from).batch(t, "right").zeroTypes()
		jobs = append(jobs, libraryJob{Kind: "transformers", Dir: dir, IDs: rows(b.ids), Mask: rows(b.mask)})
		want, batches = append(want, outputs(t, m.Graph, b)), append(batches, b)
	}
	for i, r := range loadInLibraries(t, jobs) {
		if r.Error != "" || len(r.Odd) > 0 {
			t.Errorf("%s: names that did not match: %q\n%s", models[i], r.Odd, r.Error)
			continue
		}
		e := &expected{atol: 2e-5, rtol: 1e-5}
		e.near(t, models[i], batches[i].real(&array{data: r.Hidden}), batches[i].real(want[i]["last_hidden_state"]))
	}
}

// What SaveAdapter writes loads in PEFT on the base model, adapts the same modules and no others, and
// computes what the graph does.
func TestInteropAdapter(t *testing.T) {
	var jobs []libraryJob
	var want []map[string]*array
	var batches []*batch
	var modules [][]string
	for _, name := range interopModels {
		from, err := filepath.Abs(filepath.Join("../testdata/models", name))
		if err != nil {
			t.Fatal(err)
		}
		m := open(t, from, convert.OpenOptions{Pooling: "mean"})
		o := loraOptions(m)
		o.RSLoRA, o.Dropout = name == "roberta", 0.1
		g, weights := insert(t, m, o)
		a, err := m.NewAdapter(o, weights)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), name)
		if _, err := convert.SaveAdapter(context.Background(), dir, m, a, convert.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		b := readExpected(t, from).batch(t, "right").zeroTypes()
		jobs = append(jobs, libraryJob{Kind: "peft", Dir: dir, Base: from, IDs: rows(b.ids), Mask: rows(b.mask)})
		want, batches = append(want, outputs(t, g, b)), append(batches, b)
		var names []string
		for _, l := range a.Modules {
			names = append(names, pass.LoRAPrefix+l.Module)
		}
		slices.Sort(names)
		modules = append(modules, names)
	}
	for i, r := range loadInLibraries(t, jobs) {
		if r.Error != "" || len(r.Odd) > 0 {
			t.Errorf("%s: %q\n%s", interopModels[i], r.Odd, r.Error)
			continue
		}
		if !slices.Equal(r.Adapted, modules[i]) {
			t.Errorf("%s: PEFT adapts %q, want %q", interopModels[i], r.Adapted, modules[i])
		}
		e := &expected{atol: 2e-5, rtol: 1e-5}
		e.near(t, interopModels[i], batches[i].real(&array{data: r.Hidden}), batches[i].real(want[i]["last_hidden_state"]))
	}
}

// Both directories are models for sentence-transformers: pooling, normalization, tokenizer and base
// are found, and the vectors are ours.
func TestInteropTrainedSentenceTransformers(t *testing.T) {
	from, err := filepath.Abs("../testdata/models/bert")
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, from, convert.OpenOptions{Unnormalized: true, MaxLength: 24})
	g, weights := insert(t, m, loraOptions(m))
	a, err := m.NewAdapter(loraOptions(m), weights)
	if err != nil {
		t.Fatal(err)
	}
	adapter, whole := filepath.Join(t.TempDir(), "adapter"), filepath.Join(t.TempDir(), "whole")
	if _, err := convert.SaveAdapter(context.Background(), adapter, m, a, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	m.Graph = g
	if err := m.MergeLoRA(); err != nil {
		t.Fatal(err)
	}
	if _, err := convert.Save(context.Background(), whole, m, saveTrained); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Open(from, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	merged := open(t, adapter, convert.OpenOptions{}).Graph
	var want [][]float32
	for _, text := range interopTexts {
		e, err := tok.Encode(text, tokenizer.EncodeOptions{MaxLength: 24})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, outputs(t, merged, oneText(e))["sentence_embedding"].data)
	}
	jobs := []libraryJob{{Kind: "sentence-transformers", Dir: adapter, Texts: interopTexts}, {Kind: "sentence-transformers", Dir: whole, Texts: interopTexts}}
	for i, r := range loadInLibraries(t, jobs) {
		if r.Error != "" {
			t.Errorf("%s", strings.TrimSpace(r.Error))
			continue
		}
		compare(t, filepath.Base(jobs[i].Dir), r.Vectors, want)
	}
}
