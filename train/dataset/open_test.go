package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const good = `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [1], "neg_scores": [0]}`

// TestOpenNamesTheLine has a bad line between good ones.
func TestOpenNamesTheLine(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"not JSON", `{"query": `, "not JSON: unexpected end of JSON input"},
		{"words", `hello`, "not JSON: invalid character 'h' looking for beginning of value"},
		{"two objects", good + good, "not JSON: invalid character '{' after top-level value"},
		{"a list", `[` + good + `]`, "want a JSON object, have a list"},
		{"the start of a list", `[`, "want a JSON object, have a list"},
		{"a number", `17`, "want a JSON object, have a number"},
		{"null", `null`, "want a JSON object, have null"},
		{"not UTF-8", "{\"query\": \"\xe9t\xe9\", \"pos\": [\"p\"]}", "line is not UTF-8"},
		{"no query", `{"pos": ["p"], "neg": ["n"]}`, "query is missing"},
		{"null query", `{"query": null, "pos": ["p"], "neg": ["n"]}`, "query is missing"},
		{"other query", `{"Query": "q", "pos": ["p"], "neg": ["n"]}`, "query is missing"},
		{"number as query", `{"query": 5, "pos": ["p"], "neg": ["n"]}`, "query: want a text, have a number"},
		{"list as query", `{"query": ["q"], "pos": ["p"], "neg": ["n"]}`, "query: want a text, have a list"},
		{"no pos", `{"query": "q", "neg": ["n"]}`, "pos is missing"},
		{"empty pos", `{"query": "q", "pos": [], "neg": ["n"]}`, "pos is empty: a row needs a passage that answers its query"},
		{"text as pos", `{"query": "q", "pos": "p", "neg": ["n"]}`, "pos: want a list, have a text"},
		{"null in pos", `{"query": "q", "pos": ["p", null], "neg": ["n"]}`, "pos[1]: want a text, have null"},
		{"object in neg", `{"query": "q", "pos": ["p"], "neg": ["n", "n", {"text": "n"}]}`, "neg[2]: want a text, have an object"},
		{"truth as neg", `{"query": "q", "pos": ["p"], "neg": false}`, "neg: want a list, have a truth value"},
		{"empty neg", `{"query": "q", "pos": ["p"], "neg": []}`, "neg is empty, and a group of 8 passages has 7 of it"},
		{"no neg", `{"query": "q", "pos": ["p"]}`, "neg is empty, and a group of 8 passages has 7 of it"},
		{"too few scores", `{"query": "q", "pos": ["p", "p"], "neg": ["n"], "pos_scores": [1]}`, "pos_scores has 1 numbers for 2 passages"},
		{"too many scores", `{"query": "q", "pos": ["p"], "neg": ["n"], "neg_scores": [1, 2, 3]}`, "neg_scores has 3 numbers for 1 passages"},
		{"scores of nothing", `{"query": "q", "pos": ["p"], "neg_scores": [1]}`, "neg_scores has 1 numbers for 0 passages"},
		{"text as score", `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": ["1"]}`, "pos_scores[0]: want a number, have a text"},
		{"null as score", `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [null]}`, "pos_scores[0]: want a number, have null"},
		{"number as scores", `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": 1}`, "pos_scores: want a list, have a number"},
		{"NaN", `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [NaN]}`, "not JSON: numbers must be finite, and NaN and Infinity are not JSON"},
		{"-Infinity", `{"query": "q", "pos": ["p"], "neg": ["n"], "neg_scores": [-Infinity]}`, "not JSON: numbers must be finite, and NaN and Infinity are not JSON"},
		{"beyond float64", `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [1e999]}`, "pos_scores holds a number that is out of range"},
		{"beyond float32", `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [1e39]}`, "pos_scores[0]: 1e+39 is out of range"},
		{"number as prompt", `{"query": "q", "pos": ["p"], "neg": ["n"], "prompt": 1}`, "prompt: want a text, have a number"},
		{"list as type", `{"query": "q", "pos": ["p"], "neg": ["n"], "type": []}`, "type: want a text, have a list"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, "train.jsonl", jsonl(good, "", test.line, good))
			_, err := Open(context.Background(), []string{path}, Options{GroupSize: 8})
			if want := path + ":3: " + test.want; err == nil || err.Error() != want {
				t.Errorf("error %v\nwant  %s", err, want)
			}
		})
	}
}

// TestOpenWarnsOfBlanks: such rows are in published data and are no error.
func TestOpenWarnsOfBlanks(t *testing.T) {
	path := write(t, "a.jsonl", jsonl(good, `{"query": "q", "pos": ["p", " "], "neg": ["n"]}`, `{"query": "\t", "pos": ["p"], "neg": [""]}`, good))
	s := mustOpen(t, Options{GroupSize: 2}, path, numbered(t, 3))
	want := []string{path + ":2: pos[1] is blank; rows of this file with a blank query, positive or text: 2"}
	if d := cmp.Diff(want, s.Warnings); d != "" {
		t.Errorf("warnings differ (-want +got):\n%s", d)
	}
	if s.Len() != 7 {
		t.Errorf("%d rows, want 7", s.Len())
	}
}

func TestOpenNeedsScores(t *testing.T) {
	tests := []struct {
		name, line, want string
		group            int
	}{
		{"both", good, "", 2},
		{"no pos_scores", `{"query": "q", "pos": ["p"], "neg": ["n"], "neg_scores": [1]}`, "teacher scores are missing: distillation needs pos_scores", 2},
		{"no neg_scores", `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [1]}`, "teacher scores are missing: distillation needs neg_scores", 2},
		{"negatives are not used", `{"query": "q", "pos": ["p"], "neg": ["n"], "pos_scores": [1]}`, "", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, "train.jsonl", jsonl(test.line))
			_, err := Open(context.Background(), []string{path}, Options{GroupSize: test.group, NeedScores: true})
			if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != path+":1: "+test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if test.want != "" && !errors.Is(err, ErrNoScores) {
				t.Errorf("error %v is not ErrNoScores", err)
			}
			if _, err := Open(context.Background(), []string{path}, Options{GroupSize: test.group}); err != nil {
				t.Errorf("without distillation: %v", err)
			}
		})
	}
}

// TestOpenTellsTwentyProblems has bad lines in two files, with good ones between.
func TestOpenTellsTwentyProblems(t *testing.T) {
	a := write(t, "a.jsonl", strings.Repeat(jsonl(good, `{"query": "q"}`), 15))
	b := write(t, "b.jsonl", strings.Repeat(jsonl(`{"query": "q", "pos": ["p"]}`, good), 8))
	_, err := Open(context.Background(), []string{a, b}, Options{GroupSize: 2})
	var problems *Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v, want Problems", err)
	}
	if problems.Count != 23 || len(problems.First) != 20 {
		t.Errorf("%d problems, %d told; want 23, 20", problems.Count, len(problems.First))
	}
	var want []string
	want = append(want, "23 problems")
	for i := range 15 {
		want = append(want, fmt.Sprintf("  %s:%d: pos is missing", a, 2*i+2))
	}
	for i := range 5 {
		want = append(want, fmt.Sprintf("  %s:%d: neg is empty, and a group of 2 passages has 1 of it", b, 2*i+1))
	}
	want = append(want, "  and 3 more")
	if d := cmp.Diff(want, strings.Split(err.Error(), "\n")); d != "" {
		t.Errorf("message differs (-want +got):\n%s", d)
	}
	if !errors.Is(err, ErrNoNegatives) {
		t.Error("error is not ErrNoNegatives")
	}
}

func TestOpenRefuses(t *testing.T) {
	file := write(t, "a.jsonl", jsonl(good))
	empty := write(t, "empty.jsonl", "\n \n")
	folder := filepath.Dir(write(t, "notes.txt", "none"))
	own := write(t, "x_no_in_batch_neg.jsonl", jsonl(good))
	none := filepath.Join(t.TempDir(), "none.jsonl")
	tests := []struct {
		name  string
		paths []string
		o     Options
		want  string
	}{
		{"nothing", nil, Options{GroupSize: 2}, "no training data is named"},
		{"missing", []string{file, none}, Options{GroupSize: 2}, none + ": no such file or directory"},
		{"empty file", []string{file, empty}, Options{GroupSize: 2}, empty + ": no rows in it"},
		{"folder without data", []string{folder}, Options{GroupSize: 2}, fmt.Sprintf("%q has no file that ends in .jsonl, .json, .jsonl.gz, .json.gz", folder)},
		{"group size", []string{file}, Options{}, "group size is 0: it must be 1 or more"},
		{"rows per file", []string{file}, Options{GroupSize: 1, MaxPerFile: -1}, "rows per file are -1: they must be 0 or more"},
		{"own group of one", []string{own}, Options{GroupSize: 1}, own + ": its name ends in no_in_batch_neg, so a query has no negatives but those of its group, and a group of 1 has none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Open(context.Background(), test.paths, test.o); err == nil || err.Error() != test.want {
				t.Errorf("error %v\nwant  %s", err, test.want)
			}
		})
	}
}

func TestOpenIsCancelled(t *testing.T) {
	path := write(t, "a.jsonl", strings.Repeat(jsonl(good), 1000))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, []string{path}, Options{GroupSize: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"data/b.jsonl": jsonl(good), "data/a.json": jsonl(good, good), "data/c.jsonl.gz": zipped(t, jsonl(good)),
		"data/d.json.gz": zipped(t, good), "data/d_no_in_batch_neg.v2.jsonl": good, "data/README.md": "no data",
		"data/below/e.jsonl": good, "sts_no_in_batch_neg/x.jsonl": good, "single.txt": good,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, Options{GroupSize: 2}, filepath.Join(dir, "single.txt"), filepath.Join(dir, "data"), filepath.Join(dir, "sts_no_in_batch_neg")+"/")
	type source struct {
		Name     string
		Rows     int
		OwnGroup bool
	}
	var got []source
	for _, x := range s.Sources {
		got = append(got, source{filepath.Base(x.Path), x.Rows, x.OwnGroup})
	}
	want := []source{
		{"single.txt", 1, false}, {"a.json", 2, false}, {"b.jsonl", 1, false}, {"c.jsonl.gz", 1, false},
		{"d.json.gz", 1, false}, {"d_no_in_batch_neg.v2.jsonl", 1, true}, {"x.jsonl", 1, true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("sources differ (-want +got):\n%s", d)
	}
	if s.Len() != 8 {
		t.Errorf("%d rows, want 8", s.Len())
	}
}

// numbered is a file of n rows whose queries are q0, q1, …
func numbered(t testing.TB, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"query": "q%d", "pos": ["p%d"], "neg": ["n%d"]}`+"\n", i, i, i)
	}
	return write(t, "numbered.jsonl", b.String())
}

func queries(t testing.TB, s *Set) []string {
	t.Helper()
	var out []string
	for row, err := range s.Rows(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, row.Query)
	}
	return out
}

func TestMaxPerFile(t *testing.T) {
	a, b := numbered(t, 100), numbered(t, 7)
	chosen := queries(t, mustOpen(t, Options{GroupSize: 2, MaxPerFile: 10, Seed: 1}, a, b))
	if len(chosen) != 17 {
		t.Fatalf("%d rows, want 10 of the first file and 7 of the second", len(chosen))
	}
	again := queries(t, mustOpen(t, Options{GroupSize: 2, MaxPerFile: 10, Seed: 1}, a, b))
	if d := cmp.Diff(chosen, again); d != "" {
		t.Errorf("the same seed chooses other rows:\n%s", d)
	}
	if other := queries(t, mustOpen(t, Options{GroupSize: 2, MaxPerFile: 10, Seed: 2}, a, b)); cmp.Equal(chosen, other) {
		t.Error("another seed chooses the same rows")
	}
	if all := queries(t, mustOpen(t, Options{GroupSize: 2}, a)); len(all) != 100 || all[99] != "q99" {
		t.Errorf("without a limit: %d rows", len(all))
	}
}

// TestMaxPerFileIsUniform counts how often each of 10 rows is among 3: 4000 times 0.3, with a standard deviation of 29.
func TestMaxPerFileIsUniform(t *testing.T) {
	const draws = 4000
	var counts [10]int
	for seed := range draws {
		source := Source{Lines: 10, Rows: 3}
		selection := source.selection(Options{Seed: int64(seed)}, 0)
		taken := 0
		for i := range counts {
			if selection.take() {
				counts[i]++
				taken++
			}
		}
		if taken != 3 {
			t.Fatalf("seed %d takes %d rows", seed, taken)
		}
	}
	for i, n := range counts {
		if n < 1200-5*29 || n > 1200+5*29 {
			t.Errorf("row %d is taken %d times, want about 1200", i, n)
		}
	}
}

func TestRow(t *testing.T) {
	s := mustOpen(t, Options{GroupSize: 2}, numbered(t, 3), numbered(t, 5))
	row, err := s.Row(5)
	if err != nil || row.Query != "q2" || row.Source != 1 || row.Line != 3 {
		t.Errorf("row 5 is %+v, error %v", row, err)
	}
	for _, i := range []int{-1, 8} {
		if _, err := s.Row(i); err == nil {
			t.Errorf("row %d is no error", i)
		}
	}
}
