package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func with(e Encoder) func(Task) (Encoder, EncoderSettings, error) {
	return func(Task) (Encoder, EncoderSettings, error) {
		return e, EncoderSettings{Model: "test", ModelHash: "0", Precision: "fp32"}, nil
	}
}

var fixedTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func fixedClock() time.Time { return fixedTime }

// TestRunGivesMtebsFigures runs the whole evaluation on the vectors that mteb was given.
func TestRunGivesMtebsFigures(t *testing.T) {
	one := t.TempDir()
	if err := os.CopyFS(one, os.DirFS(filepath.Join(fixtures, "dataset"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(one, "qrels/test.tsv"), []byte("query-id\tcorpus-id\tscore\nq02\td03\t1\nq02\td04\t1\nq02\td05\t2\nq02\td14\t-1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		task, data string
		ignore     bool
	}{
		{"FixtureRetrieval", fixtures + "/dataset", false},
		{"FixtureRetrievalNoSelf", fixtures + "/dataset", true},
		{"FixtureRetrievalOne", one, false},
	} {
		for _, chunk := range []int{1, 7, 0} {
			var warnings []string
			outcomes, err := Run(t.Context(), Options{
				Tasks: []string{c.task}, Data: c.data, Out: t.TempDir(), Encoder: with(fixtureEncoder(t)), ChunkDocuments: chunk,
				Model: ModelMeta{Name: "fixture/table-encoder", Revision: "1"}, IgnoreIdenticalIDs: c.ignore,
				Warn: func(s string) { warnings = append(warnings, s) },
			})
			if err != nil {
				t.Fatal(err)
			}
			compareWithMteb(t, c.task, outcomes[0].Result.Splits[0].Entries[0].Scores)
			if c.task == "FixtureRetrieval" && (len(warnings) != 1 || !strings.Contains(warnings[0], `1 judged documents are not in the corpus, "d99" is one`)) {
				t.Errorf("warnings %q", warnings)
			}
		}
	}
}

func generatedOptions(data, out string, e Encoder) Options {
	return Options{
		Tasks: []string{"Generated"}, Data: data, Out: out, Encoder: with(e), Model: ModelMeta{Name: "a/b", Revision: "1"},
		ChunkDocuments: 50, TopK: 20, SaveRun: true, SavePredictions: true, Now: fixedClock,
	}
}

// tree returns the files below a folder, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameTree(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s differs:\n%s", what, name, firstDifference(got[name], want[name]))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s should not be there", what, name)
		}
	}
}

func TestRunWritesItsFiles(t *testing.T) {
	out := t.TempDir()
	e := &hashEncoder{dim: 16}
	outcomes, err := Run(t.Context(), generatedOptions(generated(t, 210, 30), out, e))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name := range tree(t, out) {
		got = append(got, name)
	}
	slices.Sort(got)
	want := []string{"results/a__b/1/Generated.json", "results/a__b/1/model_meta.json", "results/a__b/1/run_settings.jsonl",
		"runs/a__b/1/Generated.graft_settings.json", "runs/a__b/1/Generated.per_query.tsv", "runs/a__b/1/Generated.trec", "runs/a__b/1/Generated_predictions.json"}
	if !slices.Equal(got, want) {
		t.Errorf("got files %v\nwant %v", got, want)
	}
	if score := outcomes[0].Result.Splits[0].Entries[0].MainScore; score < 0.6 {
		t.Errorf("queries that equal their document score %v", score)
	}
	run, err := ReadTREC(filepath.Join(out, want[5]))
	if err != nil {
		t.Fatal(err)
	}
	again := ScoreRun(slices.Values(run), outcomes[0].dataQrels(t, generated(t, 210, 30)), false).Scores()
	for i, s := range outcomes[0].Result.Splits[0].Entries[0].Scores {
		if !same(s.Value, again[i].Value) {
			t.Errorf("%s from the run file: %v, want %v", s.Key, again[i].Value, s.Value)
		}
	}
}

func (o *Outcome) dataQrels(t *testing.T, dir string) Qrels {
	d, err := OpenDataset(dir, o.Task.Split)
	if err != nil {
		t.Fatal(err)
	}
	return d.Qrels
}

// TestChunksDoNotMatter compares runs of different chunk sizes, and so of different
// batches, with a search that sorts everything.
func TestChunksDoNotMatter(t *testing.T) {
	data := generated(t, 700, 40)
	var first map[string]string
	for _, chunk := range []int{1, 13, 700, 5000} {
		out := t.TempDir()
		o := generatedOptions(data, out, &hashEncoder{dim: 16})
		o.ChunkDocuments = chunk
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		files := tree(t, out)
		delete(files, "runs/a__b/1/Generated.graft_settings.json") // has the key, and the chunk in it
		if first == nil {
			first = files
		}
		sameTree(t, fmt.Sprint("chunk of ", chunk), files, first)
	}
}

func TestFinishedTasksAreNotRepeated(t *testing.T) {
	data, out := generated(t, 60, 10), t.TempDir()
	if _, err := Run(t.Context(), generatedOptions(data, out, &hashEncoder{dim: 8})); err != nil {
		t.Fatal(err)
	}
	e := &hashEncoder{dim: 8}
	outcomes, err := Run(t.Context(), generatedOptions(data, out, e))
	if err != nil || !outcomes[0].Reused || e.texts > 0 {
		t.Errorf("a finished task was run again: %v", err)
	}
	o := generatedOptions(data, out, e)
	o.TopK = 10
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("a result of other settings: %v", err)
	}
	o.Overwrite = true
	if outcomes, err := Run(t.Context(), o); err != nil || outcomes[0].Reused {
		t.Errorf("overwriting: %v", err)
	}
}

func TestMaxDocumentsIsNamed(t *testing.T) {
	out := t.TempDir()
	o := generatedOptions(generated(t, 60, 30), out, &hashEncoder{dim: 8})
	o.MaxDocuments = 20
	outcomes, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, "results/a__b/1/experiments/max_documents_20/Generated.json")); err != nil {
		t.Error(err)
	}
	if n := len(outcomes[0].Table.Queries); n != 13 { // those whose document is among the first 20
		t.Errorf("%d queries remain, want 13", n)
	}
}

func TestRunErrors(t *testing.T) {
	data := generated(t, 30, 5)
	corpus := filepath.Join(data, "corpus.jsonl")
	for _, c := range []struct {
		name, want string
		change     func(*Options)
	}{
		{"no data", "no data set in a known layout", func(o *Options) { o.Data = t.TempDir() }},
		{"two tasks, one data set", `task "Other": no data set`, func(o *Options) { o.Tasks = []string{"Other", "Generated"} }},
		{"no such split", `no split "dev"`, func(o *Options) { o.Split = "dev" }},
		{"budget", "memory budget of 0 MiB is too small", func(o *Options) { o.MemoryBudget = 1000 }},
		{"similarity", `similarity "euclid"`, func(o *Options) { o.Model.Similarity = "euclid" }},
		{"encoder fails", "encode queries: broken", func(o *Options) {
			o.Encoder = with(&hashEncoder{dim: 8, before: func(Role) error { return errors.New("broken") }})
		}},
		{"NaN", `the vector of document "d0" is not finite`, func(o *Options) { o.Encoder = with(brokenEncoder{8, float32(math.NaN()), 0}) }},
		{"dimension", "vectors of 9 values, those of the queries have 8", func(o *Options) { o.Encoder = with(brokenEncoder{9, 1, 0}) }},
		{"row missing", "29 vectors of 8 values", func(o *Options) { o.Encoder = with(brokenEncoder{8, 1, 1}) }},
		{"unwritable", "not a directory", func(o *Options) { o.Out = corpus }},
	} {
		o := generatedOptions(data, t.TempDir(), &hashEncoder{dim: 8})
		o.TopK, o.ChunkDocuments = 1000, 8192
		c.change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if files := tree(t, filepath.Dir(corpus)); len(files) != 3 {
			t.Errorf("%s: files were left", c.name)
		}
	}
}

// brokenEncoder encodes documents wrongly.
type brokenEncoder struct {
	dim     int
	value   float32
	missing int
}

func (e brokenEncoder) Encode(_ context.Context, texts []string, role Role, _ func(int)) (Matrix, error) {
	m := Matrix{len(texts), 8, make([]float32, len(texts)*8)}
	if role == DocumentRole {
		m = Matrix{len(texts) - e.missing, e.dim, make([]float32, (len(texts)-e.missing)*e.dim)}
		for i := range m.Data {
			m.Data[i] = e.value
		}
	}
	return m, nil
}

func TestCorpusErrors(t *testing.T) {
	for content, want := range map[string]string{
		`{"_id": "d1", "text": ""}` + "\n" + `{"_id": "d2"}` + "\n" + `{"_id": "d1", "text": "x"}`: `corpus.jsonl:3: document id "d1" stands twice, first at`,
		`{"_id": "d1", "text": ""}` + "\n" + `{"_id": "d2", "te`:                                   "corpus.jsonl:2: not a JSON object",
		"\n": "no documents",
	} {
		data := generated(t, 30, 5)
		if err := os.WriteFile(filepath.Join(data, "corpus.jsonl"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), generatedOptions(data, t.TempDir(), &hashEncoder{dim: 8})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestEmptyTextsAreCounted(t *testing.T) {
	data := generated(t, 30, 5)
	f, err := os.OpenFile(filepath.Join(data, "corpus.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"_id": "e1", "title": null, "text": null}`+"\n"+`{"_id": "e2", "title": " ", "text": ""}`)
	f.Close()
	outcomes, err := Run(t.Context(), generatedOptions(data, t.TempDir(), &hashEncoder{dim: 8}))
	if err != nil {
		t.Fatal(err)
	}
	if w := outcomes[0].Warnings; len(w) != 1 || w[0] != "2 documents are empty and are encoded as they are" {
		t.Errorf("warnings %q", w)
	}
}

func TestProgress(t *testing.T) {
	var last Progress
	o := generatedOptions(generated(t, 130, 5), t.TempDir(), &hashEncoder{dim: 8})
	o.Progress = func(p Progress) {
		if p.Phase == last.Phase && p.Done < last.Done || p.Done > p.Total {
			t.Errorf("progress %+v after %+v", p, last)
		}
		last = p
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if last.Phase != "documents" || last.Done != 130 || last.Total != 130 || last.Task != "Generated" {
		t.Errorf("last progress %+v", last)
	}
}
