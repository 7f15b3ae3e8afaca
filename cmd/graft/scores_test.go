package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"graft/evaluate"
	"graft/runtime/ort"
)

// golden is a published or otherwise known score of a real model on real data.
type golden struct {
	name      string
	model     []string // below GRAFT_MODELS
	task      string
	data      string // below the folder of shared data
	flags     []string
	want      map[string]float64
	tolerance float64
}

// minilmSciFact is all-MiniLM-L6-v2 on SciFact as mteb publishes it.
var minilmSciFact = golden{
	name: "minilm/scifact", model: []string{"minilm"}, task: "SciFact", data: "scifact",
	want: map[string]float64{"ndcg_at_10": 0.64508, "recall_at_100": 0.92500}, tolerance: 0.0002,
}

// TestSciFact evaluates a real checkpoint on a real task through the provider that auto chooses.
func TestSciFact(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes 5,183 documents")
	}
	minilmSciFact.check(t)
}

// check runs graft eval, with further flags, and compares what its result file says.
func (g golden) check(t *testing.T, flags ...string) {
	t.Helper()
	needNative(t)
	models := os.Getenv("GRAFT_MODELS")
	if models == "" {
		absent(t, fmt.Errorf("GRAFT_MODELS is not set: run make setup, and take the environment file that it names"))
	}
	model := present(t, filepath.Join(append([]string{models}, g.model...)...))
	out := t.TempDir()
	args := append([]string{"eval", model, "--task", g.task, "--data", present(t, sharedData(g.data)), "-o", out, "--json"}, append(g.flags, flags...)...)
	start := time.Now()
	cmd := exec.Command("graft", args...) // the program that TestMain installs
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("graft %q: %v\n%s", args, err, text)
	}
	var printed struct{ Models []evalReport }
	if err := json.Unmarshal(text, &printed); err != nil || len(printed.Models) != 1 || len(printed.Models[0].Tasks) != 1 {
		t.Fatalf("graft eval --json printed %s (%v)", text, err)
	}
	report := printed.Models[0]
	t.Logf("%s: %s %s, %.0f s", g.name, report.Provider, report.Precision, time.Since(start).Seconds())
	result, err := evaluate.ReadTaskResult(report.Tasks[0].Files[0])
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range g.want {
		got, ok := result.Splits[0].Entries[0].Score(key)
		if d := math.Abs(got - want); !ok || !(d <= g.tolerance) {
			t.Errorf("%s: %s is %.5f, want %.5f within %g: off by %.5f", g.name, key, got, want, g.tolerance, d)
		}
	}
}

// graft runs the program and returns its standard output.
func graft(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("graft", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("graft %q: %v", args, err)
	}
	return out
}

// sharedData is a path below the folder of large test data: GRAFT_SHARED, or "shared" beside the
// module.
func sharedData(name string) string {
	root := os.Getenv("GRAFT_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	return filepath.Join(root, "data", name)
}

// present returns path; a test without what it needs is skipped.
func present(t *testing.T, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		absent(t, fmt.Errorf("test data is missing: %w", err))
	}
	return path
}

// has reports whether a provider's libraries are here.
func has(provider string) bool {
	p, err := ort.ProviderNamed(provider)
	return err == nil && len(p.Missing()) == 0
}
