package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWriteFileLeavesNothingHalfWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a/b")
	broken := func(w io.Writer) error {
		fmt.Fprint(w, strings.Repeat("new", 1<<16))
		return errors.New("broken")
	}
	if err := writeFile(path, broken); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
	if files := tree(t, dir); len(files) > 0 {
		t.Errorf("left %v", files)
	}
	if err := writeFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "old"); return err }); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path, broken); err == nil {
		t.Error("no error")
	}
	if files := tree(t, dir); len(files) != 1 || files["a/b"] != "old" {
		t.Errorf("left %v", files)
	}
}

// TestFullDisk runs an evaluation in a process whose files may hold 8 KiB, as if the disk
// were full, and then one without the limit.
func TestFullDisk(t *testing.T) {
	if out := os.Getenv("EVALUATE_TEST_LIMITED"); out != "" {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 8 << 10, Max: 8 << 10}); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), generatedOptions(os.Getenv("EVALUATE_TEST_DATA"), out, &hashEncoder{dim: 16}))
		fmt.Fprintln(os.Stderr, err)
		return
	}
	data, out, wantOut := generated(t, 200, 60), t.TempDir(), t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestFullDisk$")
	child.Env = append(os.Environ(), "EVALUATE_TEST_LIMITED="+out, "EVALUATE_TEST_DATA="+data)
	text, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "file too large") || !strings.Contains(string(text), "rankings.bin") {
		t.Fatalf("%v: %s", err, text)
	}
	for name := range tree(t, out) {
		if strings.Contains(name, ".tmp-") || strings.Contains(name, "results") {
			t.Errorf("left %s", name)
		}
	}
	for _, dir := range []string{out, wantOut} {
		if _, err := Run(t.Context(), generatedOptions(data, dir, &hashEncoder{dim: 16})); err != nil {
			t.Fatal(err)
		}
	}
	sameTree(t, "after a full disk", tree(t, out), tree(t, wantOut))
}

func TestAWantedFileIsMadeAfterwards(t *testing.T) {
	data, out := generated(t, 60, 10), t.TempDir()
	o := generatedOptions(data, out, &hashEncoder{dim: 8})
	o.SaveRun = false
	for _, save := range []bool{false, true} {
		o.SaveRun = save
		outcomes, err := Run(t.Context(), o)
		if err != nil || outcomes[0].Reused {
			t.Fatalf("reused, or %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "runs/a__b/1/Generated.trec")); err != nil {
		t.Error(err)
	}
}

// boundedEncoder fails when it is given more than its share of the budget at once.
type boundedEncoder struct {
	hashEncoder
	bytes, calls int
}

func (e *boundedEncoder) Encode(ctx context.Context, texts []string, role Role, done func(int)) (Matrix, error) {
	size := 0
	for _, text := range texts {
		size += len(text) + 4*e.dim
	}
	if role == DocumentRole {
		e.calls++
		e.bytes = max(e.bytes, size)
	}
	return e.hashEncoder.Encode(ctx, texts, role, done)
}

func TestMemoryBudgetBoundsTheChunks(t *testing.T) {
	data := generated(t, 20, 5)
	var corpus strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&corpus, `{"_id": "d%d", "text": "%d %s"}`+"\n", i, i, strings.Repeat("word ", 500))
	}
	if err := os.WriteFile(filepath.Join(data, "corpus.jsonl"), []byte(corpus.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	e := &boundedEncoder{hashEncoder: hashEncoder{dim: 16}}
	o := generatedOptions(data, t.TempDir(), e)
	o.ChunkDocuments, o.MemoryBudget = 100000, 8<<20
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if e.bytes > 4<<20 || e.calls < 3 {
		t.Errorf("%d bytes at once in %d calls, within a budget of 8 MiB", e.bytes, e.calls)
	}
}

func TestPrompt(t *testing.T) {
	prompts := map[string]string{"query": "q: ", "passage": "p: ", "NQ": "nq: ", "SciFact-query": "s: "}
	for _, c := range []struct {
		task string
		role Role
		want string
	}{
		{"SciFact", QueryRole, "s: "}, {"SciFact", DocumentRole, "p: "}, {"NQ", DocumentRole, "nq: "}, {"FEVER", QueryRole, "q: "},
	} {
		if got := Prompt(prompts, c.task, c.role); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.task, c.role, got, c.want)
		}
	}
	if got := Prompt(nil, "NQ", QueryRole); got != "" {
		t.Errorf("without prompts: %q", got)
	}
}
