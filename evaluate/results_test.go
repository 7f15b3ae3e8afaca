package evaluate

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const fixtureResults = fixtures + "/mteb/results/fixture__table-encoder/0123456789abcdef0123456789abcdef01234567"

// TestResultFilesRoundTrip reads files that mteb wrote, NaN literals included, and
// expects to write the same bytes.
func TestResultFilesRoundTrip(t *testing.T) {
	for _, name := range []string{"FixtureRetrieval", "FixtureRetrievalNoSelf", "FixtureRetrievalOne"} {
		path := filepath.Join(fixtureResults, name+".json")
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ReadTaskResult(path)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := r.Write(&got); err != nil {
			t.Fatal(err)
		}
		// NaN is read as a figure without value and written as NaN again.
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: written file differs from mteb's:\n%s", name, firstDifference(got.String(), string(want)))
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + w[i]
		}
	}
	return "one is longer"
}

func TestPredictionsRoundTrip(t *testing.T) {
	path := filepath.Join(fixtures, "mteb/predictions/FixtureRetrievalOne_predictions.json")
	run, err := ReadPredictions(path, "default", "test")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := WritePredictions(&got, slices.Values(run), "fixture/table-encoder", "0123456789abcdef0123456789abcdef01234567", "default", "test"); err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(got.String()) != strings.TrimSpace(string(want)) {
		t.Errorf("got %.200s\nwant %.200s", got.String(), want)
	}
	if _, err := ReadPredictions(path, "default", "dev"); err == nil || !strings.Contains(err.Error(), `"dev"`) {
		t.Errorf("a missing split: %v", err)
	}
}

// TestPredictionsGiveTheScores scores mteb's own predictions and compares with its files.
func TestPredictionsGiveTheScores(t *testing.T) {
	for name, ignore := range map[string]bool{"FixtureRetrieval": false, "FixtureRetrievalNoSelf": true, "FixtureRetrievalOne": false} {
		run, err := ReadPredictions(filepath.Join(fixtures, "mteb/predictions", name+"_predictions.json"), "default", "test")
		if err != nil {
			t.Fatal(err)
		}
		compareWithMteb(t, name, ScoreRun(slices.Values(run), fixtureQrels(t), ignore).Scores())
	}
}

func compareWithMteb(t *testing.T, name string, scores []Score) {
	t.Helper()
	want, err := ReadTaskResult(filepath.Join(fixtureResults, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	entry := want.Splits[0].Entries[0]
	for i, s := range scores {
		if w := entry.Scores[i]; w.Key != s.Key || !same(w.Value, s.Value) {
			t.Errorf("%s: got %s %v, want %s %v", name, s.Key, s.Value, w.Key, w.Value)
		}
	}
}

func TestOldResultFile(t *testing.T) {
	r, err := parseTaskResult([]byte(`{"dataset_revision": null, "mteb_dataset_name": "SciFact", "mteb_version": "1.0.2",
		"test": {"evaluation_time": 7.4, "ndcg_at_10": 0.64508, "nauc": NaN, "note": "Infinity and NaN in a \"string\""}}`))
	if err != nil {
		t.Fatal(err)
	}
	e := r.Splits[0].Entries[0]
	if v, _ := e.Score("nauc"); r.TaskName != "SciFact" || r.Splits[0].Split != "test" || e.MainScore != 0.64508 || !math.IsNaN(v) {
		t.Errorf("got %+v", r)
	}
}

func TestResultFileErrors(t *testing.T) {
	for _, data := range []string{"", "{", "[]", "{}", `{"task_name": "x"}`, `{"task_name": "x", "scores": {"test": [1]}}`} {
		if _, err := parseTaskResult([]byte(data)); err == nil {
			t.Errorf("%q is no result file, but was read", data)
		}
	}
}

func TestModelMetaHasMtebsKeys(t *testing.T) {
	var want, got map[string]any
	readJSON(t, filepath.Join(fixtureResults, "model_meta.json"), &want)
	var b bytes.Buffer
	if err := (ModelMeta{Name: "minilm", Revision: "1"}).completed().write(&b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("key %q is missing", key)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("key %q is not mteb's: its reader forbids others", key)
		}
	}
	if got["name"] != "local/minilm" {
		t.Errorf("name %v has no organization", got["name"])
	}
}

func TestRunSettingsAreMerged(t *testing.T) {
	dir := t.TempDir()
	for _, s := range []runSettings{
		{Task: "A", Splits: []string{"test"}}, {Task: "B", Splits: []string{"test"}},
		{Task: "A", Splits: []string{"test"}, Subsets: []string{"default"}},
	} {
		if err := mergeRunSettings(dir, s); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "run_settings.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"B"`) || !strings.Contains(lines[1], `"default"`) {
		t.Errorf("got %s", data)
	}
}

func TestExperimentName(t *testing.T) {
	if got := experimentName(map[string]string{"variant": "int8/a", "layers": "6"}); got != "layers_6__variant_int8_a" {
		t.Errorf("got %q", got)
	}
	if got := experimentName(map[string]string{"note": strings.Repeat("x", 300)}); len(got) != 20 {
		t.Errorf("a long name must become a hash, got %q", got)
	}
}

func TestPythonFloat(t *testing.T) {
	for x, want := range map[float64]string{0: "0.0", 1: "1.0", 0.1: "0.1", 1e-5: "1e-05", 1e16: "1e+16", 123456789: "123456789.0", 0.0001: "0.0001"} {
		if got := pythonFloat(x); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestTRECRoundTrip writes the fixture's run and reads the same ranking back.
func TestTRECRoundTrip(t *testing.T) {
	run := fixtureRun(t)
	path := filepath.Join(t.TempDir(), "run.trec")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteTREC(f, run, "graft"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	again, err := ReadTREC(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := ScoreRun(run, fixtureQrels(t), false), ScoreRun(slices.Values(again), fixtureQrels(t), false)
	for m, metric := range a.Metrics {
		if metric == reciprocalRank {
			continue // sees doubles, which the file does not keep
		}
		for q := range a.Queries {
			for c := range a.Values[m][q] {
				if a.Values[m][q][c] != b.Values[m][q][c] {
					t.Errorf("%s of %s changed", metric.Name, a.Queries[q])
				}
			}
		}
	}
}

func TestTRECErrors(t *testing.T) {
	for text, want := range map[string]string{
		"q Q0 d 1 0.5":                         ":1: 5 fields",
		"q Q0 d 1 high tag":                    `:1: score "high"`,
		"# note\nq Q0 d 1 1 t\nq Q0 d 2 0.5 t": `:3: document "d" stands twice`,
		"q\tQ0\td\t1\tNaN\tt":                  "not a number",
	} {
		path := filepath.Join(t.TempDir(), "run")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTREC(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
