package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shared returns a path below the folder of large test data: GRAFT_SHARED, or "shared" beside the module. Without it
// the test is skipped, but not under CI.
func shared(t testing.TB, path string) string {
	t.Helper()
	root := os.Getenv("GRAFT_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	path = filepath.Join(root, path)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("test data is missing: %v", err)
		}
		t.Skipf("test data is missing: %v", err)
	}
	return path
}

// zipped packs a text.
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

// jsonl joins lines, each with its end.
func jsonl(rows ...string) string { return strings.Join(rows, "\n") + "\n" }

func mustOpen(t testing.TB, o Options, paths ...string) *Set {
	t.Helper()
	s, err := Open(context.Background(), paths, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// byBytes is a tokenizer whose tokens are bytes between a 1 and a 2.
func byBytes(_ context.Context, texts []string, maxLength int) ([][]int32, error) {
	out := make([][]int32, len(texts))
	for i, text := range texts {
		ids := []int32{1}
		for _, b := range []byte(text) {
			if len(ids) == maxLength-1 {
				break
			}
			ids = append(ids, int32(b))
		}
		out[i] = append(ids, 2)
	}
	return out, nil
}

// textOf is the text that byBytes made tokens of.
func textOf(ids []int32) string {
	var b strings.Builder
	for _, id := range ids[1 : len(ids)-1] {
		b.WriteByte(byte(id))
	}
	return b.String()
}

// tokenized pretokenizes a set by bytes without a cache, truncating nothing.
func tokenized(t testing.TB, s *Set) *Tokens {
	t.Helper()
	return pretokenized(t, s, TokenizeOptions{})
}

// pretokenized fills what is missing in o: a tokenizer by bytes, and lengths that truncate nothing.
func pretokenized(t testing.TB, s *Set, o TokenizeOptions) *Tokens {
	t.Helper()
	if o.Tokenize == nil {
		o.Tokenize = byBytes
	}
	if o.QueryMaxLength == 0 {
		o.QueryMaxLength, o.PassageMaxLength = 1<<20, 1<<20
	}
	tokens, err := s.Pretokenize(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tokens.Close() })
	return tokens
}

func sampler(t testing.TB, tokens *Tokens, o SamplerOptions) *Sampler {
	t.Helper()
	s, err := NewSampler(tokens, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// epochOf makes all batches of an epoch.
func epochOf(t testing.TB, s *Sampler, epoch int) []Batch {
	t.Helper()
	batches := make([]Batch, s.Batches(epoch))
	for i := range batches {
		b, err := s.Batch(epoch, i)
		if err != nil {
			t.Fatal(err)
		}
		batches[i] = b
	}
	return batches
}
