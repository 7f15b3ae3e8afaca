package dataset

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkBatch assembles batches of 8 groups of 8 from SciFact's triplets.
func BenchmarkBatch(b *testing.B) {
	tokens := tokenized(b, mustOpen(b, Options{GroupSize: 8}, shared(b, "data/train-triplets/scifact.jsonl.gz")))
	s := sampler(b, tokens, SamplerOptions{BatchSize: 8, GroupSize: 8, Shuffle: true})
	n := s.Batches(0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Batch(0, i%n); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "batches/s")
}

// BenchmarkPlan plans an epoch of 100,000 rows in each order.
func BenchmarkPlan(b *testing.B) {
	tokens := tokenized(b, mustOpen(b, Options{GroupSize: 2}, numbered(b, 100_000)))
	for _, o := range []SamplerOptions{{}, {Shuffle: true}, {Shuffle: true, GroupByLength: true}, {Shuffle: true, NoDuplicates: true}} {
		o.BatchSize, o.GroupSize = 32, 2
		b.Run(orderName(o), func(b *testing.B) {
			s := sampler(b, tokens, o)
			for epoch := 0; b.Loop(); epoch++ {
				s.plan(epoch)
			}
		})
	}
}

// BenchmarkOpen checks SciFact's triplets, 7.1 MB of JSON in a gzip file.
func BenchmarkOpen(b *testing.B) {
	path := shared(b, "data/train-triplets/scifact.jsonl.gz")
	b.SetBytes(7106244)
	for b.Loop() {
		mustOpen(b, Options{GroupSize: 8}, path)
	}
}

// BenchmarkPretokenize has a tokenizer that does nothing: what is left is the reading, hashing and writing.
func BenchmarkPretokenize(b *testing.B) {
	s := mustOpen(b, Options{GroupSize: 8}, shared(b, "data/train-triplets/scifact.jsonl.gz"))
	nothing := func(_ context.Context, texts []string, _ int) ([][]int32, error) {
		ids := make([]int32, 128)
		out := make([][]int32, len(texts))
		for i := range out {
			out[i] = ids
		}
		return out, nil
	}
	for i := 0; b.Loop(); i++ {
		tokens, err := s.Pretokenize(context.Background(), TokenizeOptions{Tokenize: nothing, Key: fmt.Sprint(i), QueryMaxLength: 128, PassageMaxLength: 128})
		if err != nil {
			b.Fatal(err)
		}
		if err := tokens.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
