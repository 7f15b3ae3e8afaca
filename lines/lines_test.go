package lines

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// write makes a file with this content and returns its path.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// linesOf reads a file to its end.
func linesOf(t testing.TB, path string) []string {
	t.Helper()
	var got []string
	for l, err := range Read(path, sha256.New()) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(l.Text)); l.Number != len(got) {
			t.Errorf("line %d has number %d", len(got), l.Number)
		}
	}
	return got
}

func TestRead(t *testing.T) {
	long := strings.Repeat("long ", 200_000)
	tests := []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"ends", "a\nb\n", []string{"a", "b"}},
		{"no end", "a\nb", []string{"a", "b"}},
		{"carriage returns", "a\r\nb\rc\r\n\r\n", []string{"a", "b\rc", ""}},
		{"byte order mark", "\ufeffa\n\ufeffb\n", []string{"a", "\ufeffb"}},
		{"blank", "\n\na", []string{"", "", "a"}},
		{"longer than the buffer", long + "\nx\n" + long, []string{long, "x", long}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for name, content := range map[string]string{"a.jsonl": test.text, "a.jsonl.gz": zipped(t, test.text)} {
				path := write(t, name, content)
				if d := cmp.Diff(test.want, linesOf(t, path)); d != "" {
					t.Errorf("%s: lines differ (-want +got):\n%s", name, d)
				}
				sum := sha256.New()
				for range Read(path, sum) {
				}
				if want := sha256.Sum256([]byte(content)); !bytes.Equal(sum.Sum(nil), want[:]) {
					t.Errorf("%s: sum is not that of the file's bytes", name)
				}
			}
		})
	}
}

// TestReadBrokenFile reads what has no next line.
func TestReadBrokenFile(t *testing.T) {
	whole := zipped(t, strings.Repeat("line\n", 100))
	flipped := []byte(whole)
	flipped[len(flipped)-5] ^= 1 // in the checksum
	tests := []struct{ name, file, content, want string }{
		{"cut gzip", "a.gz", whole[:len(whole)-4], "unexpected EOF"},
		{"damaged gzip", "a.gz", string(flipped), "checksum"},
		{"not gzip", "a.gz", "plain text, no gzip\n", "invalid header"},
		{"empty gzip", "a.gz", "", "EOF"},
		{"garbage after gzip", "a.gz", whole + "garbage and more of it", "invalid header"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, test.file, test.content)
			var last error
			for _, err := range Read(path, sha256.New()) {
				last = err
			}
			var at *Error
			if !errors.As(last, &at) || at.File != path || !strings.Contains(last.Error(), test.want) {
				t.Errorf("error %v, want one of %q in %s", last, test.want, path)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "none")
		for _, err := range Read(path, sha256.New()) {
			if !errors.Is(err, os.ErrNotExist) || err.Error() != path+": no such file or directory" {
				t.Errorf("error %v", err)
			}
		}
	})
}

// FuzzRead compares with cutting the whole text at once.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"", "a\nb\r\n", "\ufeff\n\n", "x\r", "\r\n\r\n"} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "data")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		want := strings.Split(string(text), "\n")
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		for i := range want {
			want[i] = strings.TrimSuffix(want[i], "\r")
		}
		if len(want) > 0 {
			want[0] = strings.TrimPrefix(want[0], "\ufeff")
		}
		if got := linesOf(t, path); !cmp.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("lines %q, want %q", got, want)
		}
	})
}
