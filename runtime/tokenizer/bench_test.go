package tokenizer

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// scifact returns the corpus that the reference's tokenizer speed was measured
// on: title, space, text.
func scifact(b *testing.B) []string {
	b.Helper()
	root := os.Getenv("GRAFT_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	f, err := os.Open(filepath.Join(root, "data", "scifact", "corpus.jsonl.gz"))
	if err != nil {
		b.Skipf("missing: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	var all []string
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d struct{ Title, Text string }
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			b.Fatal(err)
		}
		all = append(all, d.Title+" "+d.Text)
	}
	return all
}

// BenchmarkBatch reports tokens per second on SciFact with MiniLM's tokenizer,
// truncated to 256 tokens and whole.
func BenchmarkBatch(b *testing.B) {
	corpus := scifact(b)
	tok := openReal(b, "minilm", Options{})
	for name, o := range map[string]EncodeOptions{"256": {MaxLength: 256}, "whole": {}} {
		b.Run(name, func(b *testing.B) {
			tokens := 0
			for b.Loop() {
				encoded, err := tok.EncodeBatch(context.Background(), corpus, o)
				if err != nil {
					b.Fatal(err)
				}
				for _, e := range encoded {
					tokens += len(e.IDs)
				}
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkOpen times reading a large tokenizer.json (11 MB).
func BenchmarkOpen(b *testing.B) {
	openReal(b, "qwen3", Options{}).Close()
	for b.Loop() {
		openReal(b, "qwen3", Options{})
	}
}
