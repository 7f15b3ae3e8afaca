package evaluate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/lines"
)

func TestGodoc(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "godoc")
	c, err := MakeGodoc(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if c.Documents < 3500 || c.Documents > 5000 || c.TestQueries < 800 || c.TestQueries > 1300 || c.TrainQueries < 2000 || c.TrainQueries > 3500 {
		t.Errorf("counts %+v", c)
	}
	d, err := OpenDataset(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	corpus := map[string]Document{}
	for doc, err := range d.Documents {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := corpus[doc.ID]; twice || doc.Text == "" || doc.Title == "" {
			t.Errorf("document %q stands twice or is empty", doc.ID)
		}
		if strings.HasPrefix(doc.Title, "syscall") || strings.Contains(doc.Title, "internal") || strings.Contains(doc.Title, "simd") {
			t.Errorf("document %q is of a package that is left out", doc.ID)
		}
		corpus[doc.ID] = doc
	}
	if len(corpus) != c.Documents || len(d.Queries) != c.TestQueries {
		t.Errorf("%d documents, %d queries in the files; counted %+v", len(corpus), len(d.Queries), c)
	}
	several, testTexts := 0, map[string]bool{}
	for _, q := range d.Queries {
		testTexts[strings.ToLower(q.Text)] = true
		for id := range d.Qrels[q.ID] {
			if _, ok := corpus[id]; !ok {
				t.Errorf("judged document %q is not in the corpus", id)
			}
		}
		if len(d.Qrels[q.ID]) > 1 {
			several++
		}
	}
	if several == 0 {
		t.Error("no equal sentences were merged")
	}
	if got := corpus["strings.Cut"]; got.Title != "strings" || !strings.HasPrefix(got.Text, "func Cut(s, sep string) (before, after string, found bool) {") || strings.Contains(got.Text, "//") {
		t.Errorf("strings.Cut is %+v", got)
	}
	checkTriplets(t, filepath.Join(dir, "train.jsonl"), c, testTexts)
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || !strings.Contains(string(readme), c.GoVersion) {
		t.Errorf("README: %v", err)
	}
}

func checkTriplets(t *testing.T, path string, c *Godoc, testTexts map[string]bool) {
	t.Helper()
	rows := 0
	for l, err := range lines.Read(path, nil) {
		if err != nil {
			t.Fatal(err)
		}
		var row TrainingRow
		if err := json.Unmarshal(l.Text, &row); err != nil {
			t.Fatal(err)
		}
		if row.Query == "" || len(row.Positives) == 0 || len(row.Negatives) != godocNegatives {
			t.Errorf("line %d: %d positives, %d negatives", l.Number, len(row.Positives), len(row.Negatives))
		}
		if testTexts[strings.ToLower(row.Query)] {
			t.Errorf("line %d: %q is a test query", l.Number, row.Query)
		}
		for _, n := range row.Negatives {
			for _, p := range row.Positives {
				if n == p {
					t.Errorf("line %d: a positive is a negative", l.Number)
				}
			}
		}
		rows++
	}
	if rows != c.Triplets {
		t.Errorf("%d rows, counted %d", rows, c.Triplets)
	}
}

func TestGodocIsTheSameEachTime(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for _, dir := range []string{one, two} {
		if _, err := MakeGodoc(t.Context(), dir, false); err != nil {
			t.Fatal(err)
		}
	}
	sameTree(t, "second run", tree(t, two), tree(t, one))
	if _, err := MakeGodoc(t.Context(), one, false); err == nil {
		t.Error("an existing folder was overwritten")
	}
}

func TestGodocWithoutGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := MakeGodoc(t.Context(), filepath.Join(t.TempDir(), "x"), false); err == nil || !strings.Contains(err.Error(), "no go command on the path") {
		t.Errorf("got %v", err)
	}
}

func TestFirstSentence(t *testing.T) {
	for _, c := range [][3]string{
		{"Cut slices s around the first instance of sep,\nreturning the text. More.", "Cut", "slices s around the first instance of sep, returning the text."},
		{"Cutter is another thing.", "Cut", "Cutter is another thing."},
		{"Close closes.", "Close", ""},
		{"", "X", ""},
	} {
		if got := firstSentence(c[0], c[1]); got != c[2] {
			t.Errorf("%q: got %q, want %q", c[0], got, c[2])
		}
	}
}
