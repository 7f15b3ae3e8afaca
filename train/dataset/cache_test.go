package dataset

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scored is a file whose rows share texts, with and without scores and prompts.
func scored(t testing.TB) string {
	return write(t, "scored.jsonl", jsonl(
		`{"query": "a", "pos": ["x", "y"], "neg": ["n", "m"], "pos_scores": [1, 2], "neg_scores": [3, 4]}`,
		`{"query": "b", "pos": ["x"], "neg": ["n"]}`,
		`{"query": "a", "pos": ["z", "x"], "neg": ["y"], "prompt": "Own: "}`,
		`{"query": "a", "pos": ["z"], "neg": ["m"], "pos_scores": [5], "neg_scores": [6]}`,
		`{"query": "b", "pos": ["b"], "neg": ["n"], "prompt": ""}`,
	))
}

// readable is a row of a cache in words.
type readable struct {
	Query     string
	Pos, Neg  []string
	Scores    []float32
	Positives int // that are known
	Line      int
}

func readTokens(c *content) []readable {
	var rows []readable
	for i, r := range c.rows {
		row := readable{Query: textOf(c.text(r.Query)), Line: int(r.Line), Positives: len(c.knownPositives(uint32(i)))}
		for j, text := range c.passages[r.Passages:][:r.Pos+r.Neg] {
			if j < int(r.Pos) {
				row.Pos = append(row.Pos, textOf(c.text(text)))
			} else {
				row.Neg = append(row.Neg, textOf(c.text(text)))
			}
			if len(c.scores) > 0 {
				row.Scores = append(row.Scores, c.scores[int(r.Passages)+j])
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func TestPretokenize(t *testing.T) {
	var asked []string
	tokens := pretokenized(t, mustOpen(t, Options{GroupSize: 2}, scored(t)), TokenizeOptions{
		QueryPrompt: "Q: ", PassagePrompt: "P: ",
		Tokenize: func(ctx context.Context, texts []string, maxLength int) ([][]int32, error) {
			asked = append(asked, texts...)
			return byBytes(ctx, texts, maxLength)
		},
	})
	none := float32(math.NaN())
	want := []readable{
		{"Q: a", []string{"P: x", "P: y"}, []string{"P: n", "P: m"}, []float32{1, 2, 3, 4}, 3, 1},
		{"Q: b", []string{"P: x"}, []string{"P: n"}, []float32{none, none}, 1, 2},
		{"Own: a", []string{"P: z", "P: x"}, []string{"P: y"}, []float32{none, none, none}, 2, 3},
		{"Q: a", []string{"P: z"}, []string{"P: m"}, []float32{5, 6}, 3, 4},
		{"b", []string{"P: b"}, []string{"P: n"}, []float32{none, none}, 1, 5},
	}
	sameFloat := cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
	if d := cmp.Diff(want, readTokens(&tokens.content), sameFloat); d != "" {
		t.Errorf("rows differ (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"Q: a", "Q: b", "Own: a", "b", "P: x", "P: y", "P: n", "P: m", "P: z", "P: b"}, asked); d != "" {
		t.Errorf("texts given to the tokenizer differ (-want +got):\n%s", d)
	}
}

// TestPretokenizeTruncates: queries and passages have lengths of their own, also for one text.
func TestPretokenizeTruncates(t *testing.T) {
	path := write(t, "a.jsonl", `{"query": "same text", "pos": ["same text"]}`)
	tokens := pretokenized(t, mustOpen(t, Options{GroupSize: 1}, path), TokenizeOptions{QueryMaxLength: 4, PassageMaxLength: 6})
	g := sampler(t, tokens, SamplerOptions{BatchSize: 1, GroupSize: 1})
	b := epochOf(t, g, 0)[0].Groups[0]
	if textOf(b.Query) != "sa" || textOf(b.Passages[0]) != "same" {
		t.Errorf("query %q, passage %q; want sa, same", textOf(b.Query), textOf(b.Passages[0]))
	}
	if b.QueryHash != b.PassageHashes[0] {
		t.Error("one text has two hashes")
	}
}

// TestPretokenizeInManyBatches has more texts than go to the tokenizer at once.
func TestPretokenizeInManyBatches(t *testing.T) {
	const n = 3*tokenizeTexts + 5
	calls, last := 0, 0
	tokens := pretokenized(t, mustOpen(t, Options{GroupSize: 2}, numbered(t, n)), TokenizeOptions{
		Tokenize: func(ctx context.Context, texts []string, maxLength int) ([][]int32, error) {
			calls++
			return byBytes(ctx, texts, maxLength)
		},
		Progress: func(done, total int) {
			if last++; done != last || total != n {
				t.Fatalf("progress %d of %d, want %d of %d", done, total, last, n)
			}
		},
	})
	if calls < 9 || last != n {
		t.Errorf("%d calls of the tokenizer, %d of progress", calls, last)
	}
	for i, row := range readTokens(&tokens.content) {
		want := readable{Query: fmt.Sprint("q", i), Pos: []string{fmt.Sprint("p", i)}, Neg: []string{fmt.Sprint("n", i)}, Positives: 1, Line: i + 1}
		if d := cmp.Diff(want, row); d != "" {
			t.Fatalf("row %d differs (-want +got):\n%s", i, d)
		}
	}
}

// counting counts the texts that are tokenized.
func counting(n *int) Tokenize {
	return func(ctx context.Context, texts []string, maxLength int) ([][]int32, error) {
		*n += len(texts)
		return byBytes(ctx, texts, maxLength)
	}
}

func TestCacheIsReused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "need")
	path := scored(t)
	n := 0
	o := TokenizeOptions{Tokenize: counting(&n), Key: "k", QueryMaxLength: 9, PassageMaxLength: 9, CacheDir: dir,
		Warn: func(message string) { t.Error(message) }}
	first := pretokenized(t, mustOpen(t, Options{GroupSize: 2}, path), o)
	if n == 0 {
		t.Fatal("nothing was tokenized")
	}
	n = 0
	moved := write(t, "other-name.jsonl", readFile(t, path))
	second := pretokenized(t, mustOpen(t, Options{GroupSize: 3, Seed: 5, NeedScores: false}, moved), o)
	if n != 0 {
		t.Errorf("%d texts were tokenized again", n)
	}
	if first.Key() != second.Key() {
		t.Errorf("keys %s and %s differ", first.Key(), second.Key())
	}
	if d := cmp.Diff(fmt.Sprint(readTokens(&first.content)), fmt.Sprint(readTokens(&second.content))); d != "" {
		t.Errorf("rows differ:\n%s", d)
	}
}

// TestCacheKey changes one thing at a time; each must be tokenized anew.
func TestCacheKey(t *testing.T) {
	dir := t.TempDir()
	path := scored(t)
	n := 0
	base := TokenizeOptions{Tokenize: counting(&n), Key: "k", QueryMaxLength: 9, PassageMaxLength: 8, QueryPrompt: "ab", PassagePrompt: "c", CacheDir: dir}
	pretokenized(t, mustOpen(t, Options{GroupSize: 2}, path), base)
	with := func(change func(o *TokenizeOptions)) TokenizeOptions {
		o := base
		change(&o)
		return o
	}
	tests := []struct {
		name string
		path string
		o    Options
		to   TokenizeOptions
	}{
		{"tokenizer", path, Options{GroupSize: 2}, with(func(o *TokenizeOptions) { o.Key = "other" })},
		{"query length", path, Options{GroupSize: 2}, with(func(o *TokenizeOptions) { o.QueryMaxLength++ })},
		{"passage length", path, Options{GroupSize: 2}, with(func(o *TokenizeOptions) { o.PassageMaxLength++ })},
		{"prompts", path, Options{GroupSize: 2}, with(func(o *TokenizeOptions) { o.QueryPrompt, o.PassagePrompt = "a", "bc" })},
		{"no negatives", path, Options{GroupSize: 1}, base},
		{"fewer rows", path, Options{GroupSize: 2, MaxPerFile: 3, Seed: 1}, base},
		{"other rows", path, Options{GroupSize: 2, MaxPerFile: 3, Seed: 2}, base},
		{"other bytes", write(t, "a.jsonl", strings.Replace(readFile(t, path), `"x"`, `"X"`, 1)), Options{GroupSize: 2}, base},
	}
	for _, test := range tests {
		n = 0
		pretokenized(t, mustOpen(t, test.o, test.path), test.to)
		if n == 0 {
			t.Errorf("%s: the cache of other data was used", test.name)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1+len(tests) {
		t.Errorf("%d files in the cache, want %d", len(files), 1+len(tests))
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// cacheOf makes a cache and returns its file and its key.
func cacheOf(t testing.TB, path string) (file string, key [32]byte) {
	t.Helper()
	dir := t.TempDir()
	tokens := pretokenized(t, mustOpen(t, Options{GroupSize: 2}, path), TokenizeOptions{CacheDir: dir})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d files in the cache, error %v", len(entries), err)
	}
	return filepath.Join(dir, entries[0].Name()), tokens.key
}

func TestDamagedCacheIsMadeAnew(t *testing.T) {
	dir, path := t.TempDir(), scored(t)
	n := 0
	var warnings []string
	o := TokenizeOptions{Tokenize: counting(&n), QueryMaxLength: 9, PassageMaxLength: 9, CacheDir: dir, Warn: func(m string) { warnings = append(warnings, m) }}
	want := fmt.Sprint(readTokens(&pretokenized(t, mustOpen(t, Options{GroupSize: 2}, path), o).content))
	entries, _ := os.ReadDir(dir)
	file := filepath.Join(dir, entries[0].Name())
	whole := readFile(t, file)
	for _, damage := range []struct{ name, content, want string }{
		{"truncated", whole[:len(whole)-40], "counts do not fit"},
		{"empty", "", "it has 0 bytes"},
		{"changed", whole[:len(whole)-100] + "!" + whole[len(whole)-99:], "checksum"},
		{"foreign", strings.Repeat("not ours", 100), "no token cache"},
	} {
		n, warnings = 0, nil
		// Another file, as a crash would leave it: the mapping of the first run lives on.
		if err := errors.Join(os.Remove(file), os.WriteFile(file, []byte(damage.content), 0o644)); err != nil {
			t.Fatal(err)
		}
		tokens := pretokenized(t, mustOpen(t, Options{GroupSize: 2}, path), o)
		if n == 0 || len(warnings) != 1 || !strings.Contains(warnings[0], damage.want) {
			t.Errorf("%s: %d texts tokenized, warnings %q", damage.name, n, warnings)
		}
		if got := fmt.Sprint(readTokens(&tokens.content)); got != want {
			t.Errorf("%s: rows are %s, want %s", damage.name, got, want)
		}
		if readFile(t, file) != whole {
			t.Errorf("%s: the new file differs from the first", damage.name)
		}
	}
}

// TestFailureLeavesNoFile ends tokenizing in every way but the good one.
func TestFailureLeavesNoFile(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	changed := numbered(t, 4)
	blank := write(t, "blank.jsonl", jsonl(`{"query": "q", "pos": ["p"]}`, `{"query": "q", "pos": ["p", ""]}`))
	plain := func(_ context.Context, texts []string, _ int) ([][]int32, error) { // no special tokens
		out := make([][]int32, len(texts))
		for i, text := range texts {
			out[i] = make([]int32, len(text))
		}
		return out, nil
	}
	tests := []struct {
		name, path string
		tokenize   Tokenize
		before     func() // after Open
		want       string
	}{
		{"error", numbered(t, 4), func(context.Context, []string, int) ([][]int32, error) { return nil, errors.New("no") }, nil, "tokenize: no"},
		{"too few", numbered(t, 4), func(context.Context, []string, int) ([][]int32, error) { return nil, nil }, nil, "tokenize: the tokenizer returned 0 texts for 4"},
		{"no tokens", blank, plain, nil, "tokenize: " + blank + ":2: a text has 0 tokens: there must be 1 to 5"},
		{"too many tokens", blank, func(ctx context.Context, texts []string, n int) ([][]int32, error) {
			return [][]int32{make([]int32, n+1)}, nil
		}, nil, "tokenize: " + blank + ":1: a text has 6 tokens: there must be 1 to 5"},
		{"changed data", changed, byBytes, func() {
			if err := os.WriteFile(changed, []byte(jsonl(good)), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "tokenize: " + changed + ": has changed since it was checked"},
		{"interrupted", numbered(t, 300), byBytes, cancel, "tokenize: context canceled"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, Options{GroupSize: 1}, test.path)
			if test.before != nil {
				test.before()
			}
			_, err := s.Pretokenize(ctx, TokenizeOptions{Tokenize: test.tokenize, QueryMaxLength: 5, PassageMaxLength: 5, CacheDir: dir})
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v\nwant  %s", err, test.want)
			}
			if files, _ := os.ReadDir(dir); len(files) != 0 {
				t.Errorf("%d files are left", len(files))
			}
		})
	}
}

func TestPretokenizeRefuses(t *testing.T) {
	s := mustOpen(t, Options{GroupSize: 1}, numbered(t, 1))
	if _, err := s.Pretokenize(context.Background(), TokenizeOptions{Tokenize: byBytes, QueryMaxLength: 5}); err == nil || !strings.Contains(err.Error(), "maximum lengths are 5 and 0") {
		t.Errorf("error %v", err)
	}
	file := write(t, "file", "")
	if _, err := s.Pretokenize(context.Background(), TokenizeOptions{Tokenize: byBytes, QueryMaxLength: 5, PassageMaxLength: 5, CacheDir: file}); err == nil || !strings.Contains(err.Error(), "cache's folder") {
		t.Errorf("a file as the cache's folder: error %v", err)
	}
}

// TestPretokenizeAtOnce has several runs make one cache.
func TestPretokenizeAtOnce(t *testing.T) {
	dir, path := t.TempDir(), numbered(t, 1000)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s, err := Open(context.Background(), []string{path}, Options{GroupSize: 2})
			if err != nil {
				t.Error(err)
				return
			}
			tokens, err := s.Pretokenize(context.Background(), TokenizeOptions{Tokenize: byBytes, QueryMaxLength: 9, PassageMaxLength: 9, CacheDir: dir})
			if err != nil {
				t.Error(err)
				return
			}
			if n := len(readTokens(&tokens.content)); n != 1000 {
				t.Errorf("%d rows", n)
			}
			if err := tokens.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files in the cache, want 1", len(files))
	}
}

// fullDisk is a file that takes so many bytes.
type fullDisk struct {
	*os.File
	left int
}

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.left -= len(b); d.left < 0 {
		return 0, errFull
	}
	return d.File.Write(b)
}

// TestFullDisk runs out of space at every point.
func TestFullDisk(t *testing.T) {
	s := mustOpen(t, Options{GroupSize: 2}, scored(t))
	writeTo := func(d *fullDisk) error {
		w := newCacheWriter(d, s.Sources, TokenizeOptions{Tokenize: byBytes, QueryMaxLength: 9, PassageMaxLength: 9})
		w.out = bufio.NewWriterSize(d, 16)
		if err := w.begin(); err != nil {
			return err
		}
		for row, err := range s.Rows(context.Background()) {
			if err == nil {
				err = w.add(context.Background(), &row)
			}
			if err != nil {
				return err
			}
		}
		return w.finish(context.Background(), [32]byte{})
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := writeTo(&fullDisk{file, 1 << 20}); err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for n := range int(info.Size()) {
		if err := writeTo(&fullDisk{file, n}); !errors.Is(err, errFull) {
			t.Errorf("space for %d of %d bytes: error %v", n, info.Size(), err)
		}
	}
}
