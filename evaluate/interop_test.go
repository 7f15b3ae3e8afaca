//go:build interop

package evaluate

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// TestInteropMteb lets mteb load a results folder of ours, variants and an aggregate
// included, and pytrec_eval score our run file.
func TestInteropMteb(t *testing.T) {
	python := os.Getenv("GRAFT_PYTHON")
	if python == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("GRAFT_PYTHON is not set: run make interop")
		}
		t.Skip("GRAFT_PYTHON is not set: run make interop")
	}
	data, out := t.TempDir(), t.TempDir()
	mean, _ := FindTask("CQADupstackRetrieval")
	for _, name := range append(slices.Clone(mean.Parts), "SciFact") {
		if err := os.CopyFS(filepath.Join(data, name), os.DirFS(generated(t, 40, 6))); err != nil {
			t.Fatal(err)
		}
	}
	fixture := Options{
		Tasks: []string{"FixtureRetrieval"}, Data: fixtures + "/dataset", Out: out, Encoder: with(fixtureEncoder(t)), SaveRun: true,
		Model: ModelMeta{Name: "fixture/table-encoder", Revision: "1"},
	}
	others := generatedOptions(data, out, &hashEncoder{dim: 8})
	others.Model = fixture.Model
	others.Tasks = []string{"CQADupstackRetrieval"}
	variant := others
	variant.Tasks, variant.Experiment = []string{"SciFact"}, map[string]string{"variant": "int8"}
	var table *Table
	for i, o := range []Options{fixture, others, variant} {
		outcomes, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			table = outcomes[0].Table
		}
	}
	command := exec.Command(python, "../testdata/eval/load_results.py", out,
		filepath.Join(out, "runs/fixture__table-encoder/1/FixtureRetrieval.trec"), fixtures+"/dataset/qrels/test.tsv")
	command.Env = append(os.Environ(), "HF_HUB_OFFLINE=1")
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Models []string
		Loaded []string
		Scores map[string]map[string]any
		Pytrec map[string]map[string]float64
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if want := append(slices.Clone(mean.Parts), "CQADupstackRetrieval", "SciFact", "FixtureRetrieval"); len(got.Scores) != len(want) {
		t.Errorf("mteb read %d files, want %d", len(got.Scores), len(want))
	}
	for _, name := range []string{"CQADupstackRetrieval", "CQADupstackWordpressRetrieval", "SciFact"} {
		if !slices.Contains(got.Loaded, name) {
			t.Errorf("mteb's ResultCache did not load %s: %v of %v", name, got.Loaded, got.Models)
		}
	}
	if n := len(got.Scores["FixtureRetrieval"]); n != 152 {
		t.Errorf("%d keys in an entry, want 152", n)
	}
	comparePytrec(t, table, got.Pytrec)
}

func comparePytrec(t *testing.T, table *Table, pytrec map[string]map[string]float64) {
	t.Helper()
	if len(pytrec) != len(table.Queries) {
		t.Errorf("pytrec_eval scored %d queries, want %d", len(pytrec), len(table.Queries))
	}
	for m, metric := range table.Metrics {
		name, ok := pytrecName[metric.Name]
		if !ok {
			continue
		}
		for q, query := range table.Queries {
			for i, k := range Cutoffs {
				key := name + "_" + strconv.Itoa(k)
				if d := math.Abs(table.Values[m][q][i] - pytrec[query][key]); !(d <= 1e-12) {
					t.Errorf("%s of %s: ours %v, pytrec_eval %v", key, query, table.Values[m][q][i], pytrec[query][key])
				}
			}
		}
	}
}
