package mine

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTopIsBruteForce compares every mined negative and every score with a plain search.
func TestTopIsBruteForce(t *testing.T) {
	rows := someRows(60)
	o := options(t, rows)
	o.Sampling = Top
	report, mined := run(t, o)
	if len(mined) != len(rows) || report.Written != len(rows) || report.Negatives != 5*len(rows) {
		t.Fatalf("%d rows of %d; report %+v", len(mined), len(rows), report)
	}
	known := map[string][]string{}
	for _, r := range rows {
		known[r.Query] = append(append(known[r.Query], r.Pos...), r.Query)
	}
	e, passages := &hashEncoder{}, passagesOf(rows)
	if report.Candidates != len(passages) || report.Queries != len(known) {
		t.Errorf("%d candidates and %d queries, want %d and %d", report.Candidates, report.Queries, len(passages), len(known))
	}
	for i, r := range rows {
		list, scores := nearest(e, r.Query, passages, o.Ranks)
		list = slices.DeleteFunc(list, func(p string) bool { return slices.Contains(known[r.Query], p) })
		if d := cmp.Diff(list[:5], mined[i].Neg); d != "" {
			t.Errorf("row %d (-want +got):\n%s", i, d)
		}
		if d := cmp.Diff(r.Pos, mined[i].Pos); d != "" {
			t.Errorf("row %d: positives (-want +got):\n%s", i, d)
		}
		checkScores(t, mined[i].Pos, mined[i].PosScores, scores)
		checkScores(t, mined[i].Neg, mined[i].NegScores, scores)
	}
}

func checkScores(t *testing.T, passages []string, got []float32, want map[string]float64) {
	t.Helper()
	if len(got) != len(passages) {
		t.Fatalf("%d scores for %d passages", len(got), len(passages))
	}
	for i, p := range passages {
		if math.Abs(float64(got[i])-want[p]) > 1e-5 {
			t.Errorf("%q: score %v, want %v", p, got[i], want[p])
		}
	}
}

// TestRandomDrawsFromTheRange finds all that is drawn within the range and without repetition, the same for the same
// seed, and nearly everything of the range over many seeds.
func TestRandomDrawsFromTheRange(t *testing.T) {
	rows := someRows(40)
	o := options(t, rows)
	passages := passagesOf(rows)
	seen := map[string]bool{}
	files := map[string]bool{}
	for seed := range uint64(30) {
		o.Seed = seed
		_, mined := run(t, o)
		first, err := os.ReadFile(o.Output)
		if err != nil {
			t.Fatal(err)
		}
		files[string(first)] = true
		for i, m := range mined {
			list, _ := nearest(&hashEncoder{}, m.Query, passages, o.Ranks)
			at := -1
			for _, n := range m.Neg {
				k := slices.Index(list, n)
				if k <= at {
					t.Fatalf("seed %d, row %d: %q is at place %d of the range, after %d", seed, i, n, k, at)
				}
				if at = k; i == 3 {
					seen[n] = true
				}
			}
		}
		if seed == 0 {
			run(t, o)
			if again, err := os.ReadFile(o.Output); err != nil || !bytes.Equal(first, again) {
				t.Errorf("the same seed gave another file (%v)", err)
			}
		}
	}
	if len(files) != 30 || len(seen) < 30 {
		t.Errorf("30 seeds gave %d files and drew %d of 38 candidates for a query", len(files), len(seen))
	}
}

// TestPositivesAreNeverMined looks at everything that is near: no positive of the query is there, not even of another row.
func TestPositivesAreNeverMined(t *testing.T) {
	rows := someRows(60)
	o := options(t, rows)
	o.Ranks, o.Negatives = Range{0, 1000}, 1000
	report, mined := run(t, o)
	known := map[string][]string{}
	for _, r := range rows {
		known[r.Query] = append(append(known[r.Query], r.Pos...), r.Query)
	}
	passages := passagesOf(rows)
	for _, m := range mined {
		in := 0
		for _, p := range passages {
			if slices.Contains(known[m.Query], p) {
				in++
			}
		}
		if len(m.Neg) != len(passages)-in {
			t.Errorf("%q: %d negatives of %d passages, %d of which are known", m.Query, len(m.Neg), len(passages), in)
		}
		for _, p := range known[m.Query] {
			if slices.Contains(m.Neg, p) {
				t.Errorf("%q: %q is known as its positive", m.Query, p)
			}
		}
	}
	if report.Short != len(rows) {
		t.Errorf("%d rows are short, want all %d", report.Short, len(rows))
	}
}

// TestLimits recounts by brute force what each limit leaves.
func TestLimits(t *testing.T) {
	rows := someRows(60)
	number := func(x float64) *float64 { return &x }
	tests := []struct {
		reason string
		limits Limits
		keeps  func(score, positive float64) bool
	}{
		{"margin", Limits{Margin: number(0.1)}, func(s, p float64) bool { return s <= p-0.1 }},
		{"relative_margin", Limits{RelativeMargin: number(0.3)}, func(s, p float64) bool { return s <= p-0.3*math.Abs(p) }},
		{"max_score", Limits{Max: number(0.4)}, func(s, _ float64) bool { return s <= 0.4 }},
		{"min_score", Limits{Min: number(0.2)}, func(s, _ float64) bool { return s >= 0.2 }},
	}
	e, passages := &hashEncoder{}, passagesOf(rows)
	positives := map[string][]string{}
	for _, r := range rows {
		positives[r.Query] = append(positives[r.Query], r.Pos...)
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			o := options(t, rows)
			o.Ranks, o.Negatives, o.Limits = Range{0, 60}, 60, test.limits
			report, mined := run(t, o)
			written, kept := map[string][]string{}, 0
			for _, m := range mined {
				written[m.Query] = m.Neg
			}
			for query, own := range positives {
				list, scores := nearest(e, query, passages, o.Ranks)
				least := math.Inf(1)
				for _, p := range own {
					least = min(least, scores[p])
				}
				list = slices.DeleteFunc(list, func(p string) bool {
					return p == query || slices.Contains(own, p) || !test.keeps(scores[p], least)
				})
				kept += len(list)
				if d := cmp.Diff(list, written[query]); d != "" && len(list)+len(written[query]) > 0 {
					t.Errorf("%q (-want +got):\n%s", query, d)
				}
			}
			all := 60*report.Queries - report.Refused[known]
			if report.Refused[test.reason] == 0 || kept == 0 || report.Refused[test.reason]+kept != all {
				t.Errorf("%d kept, %v refused, of %d", kept, report.Refused, all)
			}
			if report.Written+report.Empty != report.Rows || report.Written != len(mined) {
				t.Errorf("report %+v of %d rows written", report, len(mined))
			}
		})
	}
}

// TestCorpus mines from a corpus that has none of the positives: they are scored, and are never mined.
func TestCorpus(t *testing.T) {
	rows := someRows(20)
	dir := t.TempDir()
	var corpus strings.Builder
	var want []string
	for i := range 50 {
		fmt.Fprintf(&corpus, "{\"_id\": \"d%d\", \"title\": \"stone\", \"text\": \"passage %d\"}\n", i, i%45) // five twice
		want = append(want, fmt.Sprintf("stone passage %d", i%45))
	}
	corpus.WriteString("{\"_id\": \"blank\", \"text\": \" \"}\n")
	file := filepath.Join(dir, "corpus.jsonl")
	if err := os.WriteFile(file, []byte(corpus.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	o := options(t, rows)
	e := &hashEncoder{texts: map[string]int{}}
	o.Encoder, o.Ranks, o.Negatives = e, Range{0, 100}, 100
	slices.Sort(want)
	want = slices.Compact(want)
	for _, path := range []string{file, dir} {
		o.Corpus = path
		report, mined := run(t, o)
		if report.Candidates != 45 || len(mined) != 20 {
			t.Fatalf("%s: %d candidates, %d rows", path, report.Candidates, len(mined))
		}
		for _, m := range mined {
			_, scores := nearest(e, m.Query, m.Pos, Range{0, 9})
			checkScores(t, m.Pos, m.PosScores, scores)
			slices.Sort(m.Neg)
			if d := cmp.Diff(want, m.Neg); d != "" {
				t.Fatalf("%s: negatives (-want +got):\n%s", path, d)
			}
		}
	}
	for text, n := range e.texts {
		if n != 2 { // once a run
			t.Errorf("%q was encoded %d times in two runs", text, n)
		}
	}
}

// TestPromptsAndTeacher gives rows prompts of their own, and the scores to another model.
func TestPromptsAndTeacher(t *testing.T) {
	rows := someRows(20)
	own := "stone: "
	rows[3].Prompt = &own
	o := options(t, rows)
	e, teacher := &hashEncoder{texts: map[string]int{}}, &hashEncoder{salt: "teacher"}
	o.Encoder, o.QueryPrompt, o.Ranks = e, "find ", Range{0, 30}
	o.Teacher, o.TeacherQueryPrompt, o.TeacherSimilarity = teacher, "seek ", "cosine"
	_, mined := run(t, o)
	for i, m := range mined {
		prompt := "seek "
		if i == 3 {
			prompt = own
		}
		for _, list := range []struct {
			passages []string
			scores   []float32
		}{{m.Pos, m.PosScores}, {m.Neg, m.NegScores}} {
			_, scores := nearest(teacher, prompt+m.Query, list.passages, Range{0, 99})
			checkScores(t, list.passages, list.scores, scores)
		}
	}
	if e.texts["query:find "+rows[0].Query] != 1 || e.texts["query:"+own+rows[3].Query] != 1 {
		t.Errorf("queries as they were encoded: %v", e.texts)
	}
	if mined[3].Prompt == nil || *mined[3].Prompt != own {
		t.Errorf("the row's prompt is lost")
	}
}

// TestWithoutScores drops the scores that rows had: they are of other negatives. The file is packed by its name.
func TestWithoutScores(t *testing.T) {
	o := options(t, nil)
	text := `{"query": "stone q", "pos": ["stone a"], "neg": ["stone b", "river"], "pos_scores": [1], "neg_scores": [0.1, 0.2], "type": "normal"}` + "\n"
	if err := os.WriteFile(o.Input[0], []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	o.Output, o.WithScores, o.Ranks, o.Negatives = o.Output+".gz", false, Range{0, 9}, 9
	_, mined := run(t, o)
	if len(mined) != 1 || len(mined[0].Neg) != 2 || mined[0].PosScores != nil || mined[0].NegScores != nil || mined[0].Type != "normal" {
		t.Errorf("rows %+v", mined)
	}
}

// TestRefused names what is wrong, and leaves nothing behind.
func TestRefused(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(o *Options)
	}{
		{"range", "range 5-5", func(o *Options) { o.Ranks = Range{5, 5} }},
		{"negatives", "0 negatives", func(o *Options) { o.Negatives = 0 }},
		{"too many", "39 negatives cannot be drawn from the 38 ranks 2-40", func(o *Options) { o.Negatives = 39 }},
		{"sampling", `sampling "best" is neither`, func(o *Options) { o.Sampling = "best" }},
		{"line", "rows.jsonl:2: query is missing", func(o *Options) { appendTo(t, o.Input[0], `{"pos": ["x"]}`) }},
		{"itself", "is the input", func(o *Options) { o.Output = o.Input[0] }},
		{"no folder", "no such file or directory", func(o *Options) { o.Output = filepath.Join(o.Output, "a", "b.jsonl") }},
		{"corpus", "corpus.jsonl:1: no text", func(o *Options) {
			o.Corpus = filepath.Join(t.TempDir(), "corpus.jsonl")
			appendTo(t, o.Corpus, `{"_id": "1"}`)
		}},
		{"no corpus", "no such file or directory", func(o *Options) { o.Corpus = filepath.Join(t.TempDir(), "none.jsonl") }},
		{"memory", "memory budget of 0 MiB is too small", func(o *Options) { o.MemoryBudget = 1000 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(t, someRows(1))
			test.change(&o)
			folder := filepath.Dir(o.Output)
			before, _ := os.ReadDir(folder)
			if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if after, _ := os.ReadDir(folder); len(after) != len(before) {
				t.Errorf("files are left: %v", after)
			}
		})
	}
}

func appendTo(t *testing.T, path, line string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, line); err != nil {
		t.Fatal(err)
	}
}

func TestParseRange(t *testing.T) {
	if r, err := ParseRange("10-210"); err != nil || r != (Range{10, 210}) {
		t.Errorf("%v, %v", r, err)
	}
	for _, bad := range []string{"", "10", "10-", "-5-10", "a-b", "10-20-30", "10 - 20"} {
		if r, err := ParseRange(bad); err == nil {
			t.Errorf("%q is %v", bad, r)
		}
	}
}
