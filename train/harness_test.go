//go:build !lite

package train

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph"
	"graft/runtime/tokenizer"
)

// tinyModel opens the BERT of testdata/models, which has dropout and a tokenizer.
func tinyModel(t testing.TB) Model { return checkpointModel(t, "bert", "") }

// checkpointModel opens a model of testdata/models with a pooling; "" is its own.
func checkpointModel(t testing.TB, name, pooling string) Model {
	t.Helper()
	dir := filepath.Join("..", "testdata", "models", name)
	no := false
	m, err := convert.Open(dir, convert.OpenOptions{Pooling: pooling, Normalize: &no})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Open(dir, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(); tok.Close() })
	hash, err := m.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return Model{Graph: m.Graph, Tokenizer: tok, TokenizerHash: name, Name: dir, Arch: m.Arch.Name, Hash: hash,
		MaxLength: m.Sizes.Positions, Dim: m.Dim}
}

// words are in the tiny model's vocabulary, or made of pieces that are.
var words = strings.Fields("the quick brown fox jumps over a lazy dog where is capital of france very long text and that")

// writeRows makes a file of training rows, each with negatives and teacher's scores.
func writeRows(t testing.TB, path string, rows int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	say := func(n int) string {
		var text []string
		for range n {
			text = append(text, words[r.IntN(len(words))])
		}
		return strings.Join(text, " ")
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range rows {
		row := map[string]any{
			"query": fmt.Sprintf("%d %s", i, say(3)), "pos": []string{fmt.Sprintf("%d %s", i, say(2+r.IntN(8)))},
			"neg": []string{say(5), say(9), say(2)}, "pos_scores": []float64{3}, "neg_scores": []float64{1, 0, -1},
		}
		if err := json.NewEncoder(f).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
}

// tinyOptions are those of a run of ten steps over two epochs.
func tinyOptions(t testing.TB) Options {
	t.Helper()
	o := DefaultOptions()
	dir := t.TempDir()
	data := filepath.Join(dir, "rows.jsonl")
	writeRows(t, data, 20)
	o.OutputDir, o.TrainData = filepath.Join(dir, "out"), []string{data}
	o.PerDeviceTrainBatchSize, o.TrainGroupSize, o.PassageMaxLen = 4, 3, 24
	o.NumTrainEpochs, o.LearningRate, o.WarmupSteps, o.SaveSteps = 2, 1e-3, 2, 0
	o.Device, o.Threads = "cpu", 1
	return o
}

// saveWeights is a SaveModel that writes the weights alone.
func saveWeights(_ context.Context, dir string, weights []*graph.Tensor) error {
	var entries []safetensors.Entry
	for _, w := range weights {
		entries = append(entries, safetensors.Entry{Name: w.Name, DType: "F32", Shape: w.Shape})
	}
	file, err := safetensors.Create(filepath.Join(dir, "model.safetensors"), nil, entries)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, w := range weights {
		err := file.Tensor(w.Name, func(out io.Writer) error { _, err := w.Data.WriteTo(out); return err })
		if err != nil {
			return err
		}
	}
	return file.Commit()
}

// recorder is hooks that remember what they were told.
type recorder struct {
	mu       sync.Mutex
	warnings []string
	progress []Progress
	hooks    Hooks
}

func newRecorder() *recorder {
	r := &recorder{}
	r.hooks = Hooks{
		SaveModel: saveWeights,
		Progress:  func(p Progress) { r.progress = append(r.progress, p) },
		Warn:      func(s string) { r.mu.Lock(); r.warnings = append(r.warnings, s); r.mu.Unlock() },
	}
	return r
}

// mustRun trains and fails the test where that fails.
func mustRun(t *testing.T, m Model, o Options, h Hooks) *Result {
	t.Helper()
	result, err := Run(context.Background(), m, o, h)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// courseOf is a run's log without what the clock and the system say, and its weights.
func courseOf(t testing.TB, dir string) (log, weights string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(raw)) {
		var fields map[string]any
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&fields); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"step_seconds", "eval_seconds", "resident_bytes"} {
			delete(fields, name)
		}
		text, err := json.Marshal(fields) // in the order of names
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	raw, err = os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), string(raw)
}
