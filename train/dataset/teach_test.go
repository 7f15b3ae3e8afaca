package dataset

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeTeacher makes vectors of a text's length, its first byte and the limit; it fails at a text.
type fakeTeacher struct {
	texts  []string
	calls  int
	closed int
	fail   string
}

func (f *fakeTeacher) Encode(_ context.Context, texts []string, a Asked) ([]float32, error) {
	f.calls++
	var out []float32
	for _, text := range texts {
		text = a.Prompt + text
		if f.fail != "" && strings.HasSuffix(text, f.fail) {
			return nil, errors.New("the teacher is ill")
		}
		f.texts = append(f.texts, text)
		out = append(out, vectorOf(text, a.MaxLength)...)
	}
	return out, nil
}

func vectorOf(text string, maxLength int) []float32 {
	return []float32{float32(len(text)), float32(text[0]), float32(maxLength)}
}

func (f *fakeTeacher) Close() error { f.closed++; return nil }

// options are those of a teacher that reads 10 tokens of a query and 20 of a passage.
func (f *fakeTeacher) options(dir string) TeachOptions {
	return TeachOptions{
		Open: func(context.Context) (Teacher, error) { return f, nil },
		Key:  "fake", Dim: 3, QueryPrompt: "ask: ", PassagePrompt: "say: ", QueryLength: 10, PassageLength: 20, Dir: dir,
	}
}

// TestTeach: every text goes to the teacher once, under its prompts, and its vector comes back with each group.
func TestTeach(t *testing.T) {
	s := mustOpen(t, Options{GroupSize: 2}, scored(t))
	tokens := pretokenized(t, s, TokenizeOptions{QueryPrompt: "Q: ", PassagePrompt: "P: "})
	var teacher fakeTeacher
	o := teacher.options(t.TempDir())
	if err := s.Teach(context.Background(), tokens, o); err != nil {
		t.Fatal(err)
	}
	slices.Sort(teacher.texts)
	want := []string{"Own: a", "ask: a", "ask: b", "b", "say: b", "say: m", "say: n", "say: x", "say: y", "say: z"}
	if d := cmp.Diff(want, teacher.texts); d != "" {
		t.Errorf("texts given to the teacher differ (-want +got):\n%s", d)
	}
	if teacher.closed != 1 {
		t.Errorf("the teacher was closed %d times", teacher.closed)
	}
	groups := 0
	for _, b := range epochOf(t, sampler(t, tokens, SamplerOptions{BatchSize: 2, GroupSize: 2}), 0) {
		for _, g := range b.Groups {
			groups++
			query := strings.Replace(textOf(g.Query), "Q: ", "ask: ", 1)
			if !slices.Equal(g.TeacherQuery, vectorOf(query, 10)) {
				t.Errorf("%q: vector %v", query, g.TeacherQuery)
			}
			for i, p := range g.Passages {
				passage := strings.Replace(textOf(p), "P: ", "say: ", 1)
				if !slices.Equal(g.TeacherPassages[i], vectorOf(passage, 20)) {
					t.Errorf("%q: vector %v", passage, g.TeacherPassages[i])
				}
			}
		}
	}
	if groups != 5 {
		t.Errorf("%d groups", groups)
	}

	// Where the vectors are there, the teacher is not started; another one is.
	again := pretokenized(t, s, TokenizeOptions{QueryPrompt: "Q: ", PassagePrompt: "P: "})
	o.Open = func(context.Context) (Teacher, error) { return nil, errors.New("started") }
	if err := s.Teach(context.Background(), again, o); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*TeachOptions){
		"key":            func(o *TeachOptions) { o.Key = "another" },
		"dim":            func(o *TeachOptions) { o.Dim = 4 },
		"query prompt":   func(o *TeachOptions) { o.QueryPrompt = "" },
		"passage prompt": func(o *TeachOptions) { o.PassagePrompt = "" },
		"query length":   func(o *TeachOptions) { o.QueryLength++ },
		"passage length": func(o *TeachOptions) { o.PassageLength++ },
	} {
		o := o
		change(&o)
		if err := s.Teach(context.Background(), again, o); err == nil || !strings.Contains(err.Error(), "started") {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// TestTeachGoesOn: what an interrupted call has computed is not computed again, but for its last window.
func TestTeachGoesOn(t *testing.T) {
	const n = 3*teachWindow + 10
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "text number %d.\n", i)
	}
	s := mustOpen(t, Options{GroupSize: 1, Texts: true}, write(t, "a.txt", b.String()))
	tokens, dir := tokenized(t, s), t.TempDir()
	ill := fakeTeacher{fail: fmt.Sprintf(" %d.", 2*teachWindow+5)}
	if err := s.Teach(context.Background(), tokens, ill.options(dir)); err == nil || !strings.Contains(err.Error(), "ill") {
		t.Fatalf("error %v", err)
	}
	if len(ill.texts) < 2*teachWindow || ill.closed != 1 {
		t.Fatalf("%d texts, closed %d times", len(ill.texts), ill.closed)
	}
	var well fakeTeacher
	if err := s.Teach(context.Background(), tokens, well.options(dir)); err != nil {
		t.Fatal(err)
	}
	if want := n - teachWindow; len(well.texts) != want {
		t.Errorf("%d texts were computed after %d, want %d", len(well.texts), 2*teachWindow, want)
	}
	for i := range n {
		text := fmt.Sprintf("say: text number %d.", i)
		if got := tokens.teacher.row(uint32(i)); !slices.Equal(got, vectorOf(text, 20)) {
			t.Fatalf("text %d has the vector %v", i, got)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.partial")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}

// TestDamagedVectorsAreComputedAnew: a flipped bit, a file cut short, something else.
func TestDamagedVectorsAreComputedAnew(t *testing.T) {
	s := mustOpen(t, Options{GroupSize: 2}, scored(t))
	for name, damage := range map[string]func([]byte) []byte{
		"bit":    func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"header": func(b []byte) []byte { b[0] ^= 1; return b },
		"short":  func(b []byte) []byte { return b[:len(b)-4] },
		"empty":  func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var first, second fakeTeacher
			if err := s.Teach(context.Background(), tokenized(t, s), first.options(dir)); err != nil {
				t.Fatal(err)
			}
			paths, _ := filepath.Glob(filepath.Join(dir, "teacher-*.bin"))
			if len(paths) != 1 {
				t.Fatalf("files %q", paths)
			}
			raw, err := os.ReadFile(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(paths[0], damage(raw), 0o644); err != nil {
				t.Fatal(err)
			}
			warned := 0
			o := second.options(dir)
			o.Warn = func(string) { warned++ }
			if err := s.Teach(context.Background(), tokenized(t, s), o); err != nil {
				t.Fatal(err)
			}
			if warned != 1 || len(second.texts) != len(first.texts) {
				t.Errorf("%d warnings, %d texts computed", warned, len(second.texts))
			}
		})
	}
}

// wrongTeacher gives what no teacher should.
type wrongTeacher struct{ numbers []float32 }

func (w wrongTeacher) Encode(context.Context, []string, Asked) ([]float32, error) {
	return w.numbers, nil
}
func (w wrongTeacher) Close() error { return nil }

func TestTeachRefuses(t *testing.T) {
	s := mustOpen(t, Options{GroupSize: 1}, write(t, "a.jsonl", `{"query": "a", "pos": ["b"]}`))
	nan := float32(math.NaN())
	for want, c := range map[string]struct {
		dim     int
		numbers []float32
	}{
		"the teacher's vectors have 0 features":             {0, nil},
		"gave 2 numbers for 1 texts, want vectors of 3":     {3, []float32{1, 2}},
		`the teacher's vector of the text "a" has a NaN in`: {2, []float32{1, nan}},
	} {
		o := TeachOptions{Dim: c.dim, Dir: t.TempDir(), Open: func(context.Context) (Teacher, error) { return wrongTeacher{c.numbers}, nil }}
		if err := s.Teach(context.Background(), tokenized(t, s), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	o := TeachOptions{Dim: 1, Dir: filepath.Join(write(t, "file", ""), "below"), Open: nil}
	if err := s.Teach(context.Background(), tokenized(t, s), o); err == nil {
		t.Error("a folder that cannot be made is no error")
	}
}

// TestTextRows: a text alone is read as a passage, from lines of JSON with or without a title, and from plain lines.
func TestTextRows(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"a.jsonl": jsonl(`{"_id": "1", "title": "Title", "text": "and text"}`, `{"text": "text", "title": ""}`, `{"query": "q", "pos": ["p"], "text": "not read"}`),
		"b.txt":   "a line\n\n{\"text\": \"as it is\"}\r\nthe last",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := mustOpen(t, Options{GroupSize: 1, Texts: true}, dir)
	tokens := pretokenized(t, s, TokenizeOptions{QueryPrompt: "Q: ", PassagePrompt: "P: ", QueryMaxLength: 4, PassageMaxLength: 100})
	var got []string
	for _, g := range epochOf(t, sampler(t, tokens, SamplerOptions{BatchSize: 9, GroupSize: 1}), 0)[0].Groups {
		got = append(got, fmt.Sprintf("%v %s|%s", g.Text, textOf(g.Query), textOf(g.Passages[0])))
		if g.Text != (g.QueryHash == g.PassageHashes[0]) {
			t.Errorf("%s: hashes %x and %x", got[len(got)-1], g.QueryHash, g.PassageHashes)
		}
	}
	want := []string{
		"true P: Title and text|P: Title and text", "true P: text|P: text", "false Q:|P: p",
		"true P: a line|P: a line", `true P: {"text": "as it is"}|P: {"text": "as it is"}`, "true P: the last|P: the last",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rows differ (-want +got):\n%s", d)
	}
}

// TestTextRowsRefused: where no teacher's vectors are learned, a text alone is no row; a group has no negatives of it.
func TestTextRowsRefused(t *testing.T) {
	text := write(t, "a.jsonl", `{"text": "a"}`)
	for want, c := range map[string]struct {
		o    Options
		path string
	}{
		"a.jsonl:1: query is missing: a row of a text alone": {Options{GroupSize: 1}, text},
		"a.jsonl:1: neg is empty":                            {Options{GroupSize: 2, Texts: true}, text},
		"b.jsonl:1: text: want a text, have a number":        {Options{GroupSize: 1, Texts: true}, write(t, "b.jsonl", `{"text": 1}`)},
		"c.txt:2: line is not UTF-8":                         {Options{GroupSize: 1, Texts: true}, write(t, "c.txt", "a\n\xff\n")},
		"d.txt: no rows in it":                               {Options{GroupSize: 1, Texts: true}, write(t, "d.txt", "\n \n")},
	} {
		if _, err := Open(context.Background(), []string{c.path}, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	s := mustOpen(t, Options{GroupSize: 1, Texts: true}, write(t, "e.jsonl", jsonl(`{"text": " "}`, `{"text": "a"}`)))
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "text is blank") {
		t.Errorf("warnings %q", s.Warnings)
	}
}
