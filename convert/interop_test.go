//go:build interop

package convert_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/runtime/tokenizer"
)

var interopTexts = []string{
	"The quick brown fox jumps over the lazy dog.",
	"Where is the capital of France?",
	"a very long text a very long text a very long text a very long text a very long text a very long text a very long text",
}

// job is a directory that a library is to load: with torch, onnx or optimum (load.py).
type job struct{ dir, backend string }

// python has the interpreter that the environment names do the jobs, in one process.
func python(t *testing.T, variable string, jobs []job) []json.RawMessage {
	t.Helper()
	interpreter := os.Getenv(variable)
	if interpreter == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: run make interop", variable)
		}
		t.Skipf("%s is not set: run make interop", variable)
	}
	var list [][2]string
	for _, j := range jobs {
		list = append(list, [2]string{j.dir, j.backend})
	}
	task, err := json.Marshal(map[string]any{"texts": interopTexts, "jobs": list})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(interpreter, "../testdata/models/load.py")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(task), &stderr
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "CUDA_VISIBLE_DEVICES=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var results []json.RawMessage
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(jobs) {
		t.Fatalf("%d results of %d jobs: %v\n%s", len(results), len(jobs), err, out)
	}
	return results
}

// Exported directories load in sentence-transformers (6 with torch, 5 with torch and ONNX) and in
// optimum, and give the vectors that they give here.
func TestInteropExportedDirectories(t *testing.T) {
	backends := map[string][]string{"GRAFT_PYTHON": {"torch"}, "GRAFT_PYTHON_OPTIMUM": {"torch", "onnx", "optimum"}}
	jobs := map[string][]job{}
	names, hidden, text := map[string]string{}, map[string][][]float32{}, map[string][][]float32{}
	slow := slowCases(t)
	for _, test := range []struct{ name, pooling, slow string }{
		{"bert", "", ""}, {"roberta", "cls", ""}, {"xlm-roberta", "mean", ""}, {"distilbert", "max", ""}, {"modernbert", "cls+mean", ""},
		{"ernie", "weightedmean", ""}, {"llama", "last", ""}, {"qwen2", "mean_sqrt_len", ""}, {"qwen3", "", ""}, {"minilm", "", ""},
		{"llama", "mean", "llama-added"}, {"llama", "last", "llama-not-legacy"}, {"xlm-roberta", "mean", "xlm-roberta"}, {"roberta", "mean", "roberta"},
		{"t5", "mean", "t5"}, {"bert", "mean", "albert"}, {"bert", "mean", "deberta"}, {"sentence-t5", "", ""},
	} {
		from := filepath.Join("../testdata/models", test.name)
		switch {
		case test.name == "minilm":
			from = downloaded(t, test.name)
		case test.name == "sentence-t5":
			from = "../testdata/sentence-t5/model"
		case test.slow != "": // the tokenizer is made
			from = slow[test.slow].model(t, test.name)
		}
		dir, _ := save(t, from, convert.OpenOptions{Pooling: test.pooling, MaxLength: 24}, convert.SaveOptions{Version: "test"})
		names[dir] = test.name + " " + test.slow
		hidden[dir], text[dir] = ours(t, dir)
		for variable, list := range backends {
			for _, backend := range list {
				// transformers 4 does not read these configs of transformers 5; it does run their ONNX files.
				if variable == "GRAFT_PYTHON_OPTIMUM" && backend == "torch" && (test.name == "modernbert" || test.name == "qwen3") {
					continue
				}
				jobs[variable] = append(jobs[variable], job{dir, backend})
			}
		}
	}
	for variable := range backends {
		for i, result := range python(t, variable, jobs[variable]) {
			j := jobs[variable][i]
			name := fmt.Sprintf("%s, %s, %s", variable, j.backend, names[j.dir])
			var got [][]float32
			if err := json.Unmarshal(result, &got); err != nil {
				t.Errorf("%s: %s", name, result)
				continue
			}
			want := text[j.dir]
			if j.backend == "optimum" {
				want = hidden[j.dir]
			}
			compare(t, name, got, want)
		}
	}
}

// ours are the outputs of the exported ONNX file, one text at a time.
func ours(t *testing.T, dir string) (hidden, text [][]float32) {
	t.Helper()
	tok, err := tokenizer.Open(dir, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	s := openFile(t, filepath.Join(dir, "onnx", "model.onnx"))
	for _, x := range interopTexts {
		e, err := tok.Encode(x, tokenizer.EncodeOptions{MaxLength: 24})
		if err != nil {
			t.Fatal(err)
		}
		out := run(t, s, oneText(e))
		hidden, text = append(hidden, out["last_hidden_state"].data), append(text, out["sentence_embedding"].data)
	}
	return hidden, text
}

func compare(t *testing.T, name string, got, want [][]float32) {
	t.Helper()
	const tolerance = 2e-5
	if len(got) != len(want) {
		t.Fatalf("%s: %d vectors, want %d", name, len(got), len(want))
	}
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Errorf("%s: text %d: %d values, want %d", name, i, len(got[i]), len(want[i]))
			continue
		}
		worst := 0.0
		for j := range want[i] {
			d := math.Abs(float64(got[i][j])-float64(want[i][j])) / math.Max(1, math.Abs(float64(want[i][j])))
			if math.IsNaN(d) {
				d = math.Inf(1)
			}
			worst = math.Max(worst, d)
		}
		if worst > tolerance {
			t.Errorf("%s: text %d: off by %s, tolerance %g", name, i, fmt.Sprintf("%.2g", worst), tolerance)
		}
	}
}
