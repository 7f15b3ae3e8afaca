package safetensors

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// rewrite copies a checkpoint tensor by tensor, last first.
func rewrite(t *testing.T, from *Checkpoint, to string) {
	t.Helper()
	var entries []Entry
	for _, tensor := range from.Tensors {
		entries = append(entries, Entry{tensor.Name, tensor.DType, tensor.Shape})
	}
	w, err := Create(to, from.Metadata, entries)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := len(from.Tensors) - 1; i >= 0; i-- {
		err := w.Tensor(from.Tensors[i].Name, func(w io.Writer) error {
			_, err := from.Tensors[i].WriteTo(w)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// What the reference implementation wrote comes out of our writer byte for
// byte.
func TestRewriteIsIdentical(t *testing.T) {
	testRewrite(t, []string{"testdata/mixed.safetensors", "testdata/rounding.safetensors"})
}

func TestRewriteModelsIsIdentical(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(sharedFixtures(t), "*", "*.safetensors"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no reference models: %v", err)
	}
	testRewrite(t, paths)
}

func testRewrite(t *testing.T, paths []string) {
	for _, path := range paths {
		copied := filepath.Join(t.TempDir(), FileName)
		rewrite(t, mustOpen(t, path), copied)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(copied)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: rewritten file differs (%v)", path, err)
		}
	}
}

func fill(n int) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(make([]byte, n))
		return err
	}
}

// Whatever goes wrong, the old file stays and nothing else is left.
func TestFailedWriteLeavesNothing(t *testing.T) {
	sentinel := errors.New("source broke")
	for _, test := range []struct {
		name  string
		write func(*Writer) error
		want  string
	}{
		{"too much", func(w *Writer) error { return w.Tensor("a", fill(9)) }, `tensor "a": more data than its shape holds`},
		{"too little", func(w *Writer) error { return w.Tensor("a", fill(7)) }, `tensor "a": 1 of 8 bytes are missing`},
		{"unknown", func(w *Writer) error { return w.Tensor("c", fill(8)) }, `tensor "c": was not announced`},
		{"source fails", func(w *Writer) error { return w.Tensor("a", func(io.Writer) error { return sentinel }) }, "source broke"},
		{"one missing", func(w *Writer) error { return errors.Join(w.Tensor("a", fill(8)), w.Commit()) }, `tensor "b" was never written`},
		{"given up", func(w *Writer) error { return sentinel }, ""},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, FileName)
		if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		w, err := Create(path, nil, []Entry{{"a", F32, []int64{2}}, {"b", U8, []int64{1}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := test.write(w); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: close: %v", test.name, err)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 {
			t.Errorf("%s: %d files are left (%v)", test.name, len(files), err)
		}
		if text, err := os.ReadFile(path); string(text) != "old" {
			t.Errorf("%s: the old file became %q, %v", test.name, text, err)
		}
	}
}

func TestCreateErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	for _, test := range []struct {
		path    string
		entries []Entry
		want    string
	}{
		{path, []Entry{{"a", "F12", nil}}, `tensor "a": unknown dtype "F12"`},
		{path, []Entry{{"a", U8, []int64{-1}}}, `negative dimension`},
		{path, []Entry{{"a", U8, nil}, {"a", U8, nil}}, `tensor "a": name is taken`},
		{path, []Entry{{"__metadata__", U8, nil}}, `name is taken`},
		{filepath.Join(t.TempDir(), "no", "folder"), nil, "no such file or directory"},
	} {
		if _, err := Create(test.path, nil, test.entries); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want %q", test.entries, err, test.want)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a failed Create left a file")
	}
}

func TestClosedWriter(t *testing.T) {
	w, err := Create(filepath.Join(t.TempDir(), FileName), nil, []Entry{{"a", U8, nil}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Tensor("a", fill(1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Tensor after Close: %v", err)
	}
	if err := w.Commit(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Commit after Close: %v", err)
	}
}

// A disk that fills up is an error of the tensor under way, and the space is
// given back. The limit on file sizes stands in for a small disk.
func TestFullDisk(t *testing.T) {
	signal.Ignore(unix.SIGXFSZ) // so that writing fails with EFBIG instead
	defer signal.Reset(unix.SIGXFSZ)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)

	dir := t.TempDir()
	w, err := Create(filepath.Join(dir, FileName), nil, []Entry{{"a", F32, []int64{1 << 20}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Tensor("a", fill(4<<20)); !errors.Is(err, unix.EFBIG) || !strings.Contains(err.Error(), `tensor "a"`) {
		t.Errorf("writing beyond the limit: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%d files are left (%v)", len(files), err)
	}
}
