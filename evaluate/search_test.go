package evaluate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func randomMatrix(r *rand.Rand, rows, dim int) Matrix {
	m := Matrix{rows, dim, make([]float32, rows*dim)}
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	return m
}

// TestGoScorer compares with a plain loop in float64, over shapes that leave remainders.
func TestGoScorer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][3]int{{1, 1, 1}, {3, 5, 7}, {4, 64, 32}, {5, 130, 33}, {17, 257, 384}} {
		queries, documents := randomMatrix(r, shape[0], shape[2]), randomMatrix(r, shape[1], shape[2])
		scores := make([]float32, shape[0]*shape[1])
		if err := (GoScorer{}).Score(t.Context(), queries, documents, scores); err != nil {
			t.Fatal(err)
		}
		for q := range queries.Rows {
			for d := range documents.Rows {
				want := 0.0
				for i := range queries.Dim {
					want += float64(queries.Row(q)[i]) * float64(documents.Row(d)[i])
				}
				// float32 sums of n terms near 1: n units in the last place, at most.
				if got := float64(scores[q*documents.Rows+d]); math.Abs(got-want) > 1e-6*float64(queries.Dim) {
					t.Errorf("%v: query %d, document %d: got %v, want %v", shape, q, d, got, want)
				}
			}
		}
	}
	if err := (GoScorer{}).Score(t.Context(), randomMatrix(r, 1, 2), randomMatrix(r, 1, 3), make([]float32, 1)); err == nil {
		t.Error("vectors of different lengths were scored")
	}
}

// TestScoreDoesNotDependOnTheBlock scores a pair within different blocks, bit for bit.
func TestScoreDoesNotDependOnTheBlock(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	queries, documents := randomMatrix(r, 9, 45), randomMatrix(r, 131, 45)
	all := make([]float32, 9*131)
	if err := (GoScorer{}).Score(t.Context(), queries, documents, all); err != nil {
		t.Fatal(err)
	}
	for q := range 9 {
		for _, d := range []int{0, 63, 64, 130} {
			one := make([]float32, 1)
			if err := (GoScorer{}).Score(t.Context(), queries.rows(q, q+1), documents.rows(d, d+1), one); err != nil {
				t.Fatal(err)
			}
			if one[0] != all[q*131+d] {
				t.Errorf("query %d, document %d: alone %v, in a block %v", q, d, one[0], all[q*131+d])
			}
		}
	}
}

// TestTopK compares the heap with sorting, on scores with many ties, in rows of all lengths.
func TestTopK(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, k := range []int{1, 3, 50, 400} {
		var ids idTable
		var hits []Hit
		var h topK
		for h.documents == nil || ids.len() < 300 {
			row := make([]float32, 1+r.IntN(40))
			first := position(ids.len())
			for i := range row {
				row[i] = float32(r.IntN(20)) / 4
				id := fmt.Sprint("d", r.Uint32())
				if _, found := ids.add(id); found {
					t.Fatalf("id %q was found before it was added", id)
				}
				hits = append(hits, Hit{id, float64(row[i])})
			}
			h.update(k, row, first, &ids)
		}
		slices.SortFunc(hits, compareHits)
		var got []Hit
		for i, s := range h.scores {
			got = append(got, Hit{ids.id(h.documents[i]), float64(s)})
		}
		slices.SortFunc(got, compareHits)
		if want := hits[:min(k, len(hits))]; !slices.Equal(got, want) {
			t.Errorf("best %d: got %v\nwant %v", k, got, want)
		}
	}
}

func TestIDTable(t *testing.T) {
	var ids idTable
	if _, found := ids.find("x"); found {
		t.Error("found in an empty table")
	}
	for i := range 5000 {
		if p, found := ids.add(fmt.Sprint("id", i)); found || p != position(i) {
			t.Fatalf("id %d at %d, found %v", i, p, found)
		}
	}
	for i := range 5000 {
		p, found := ids.find(fmt.Sprint("id", i))
		if !found || ids.id(p) != fmt.Sprint("id", i) {
			t.Fatalf("id %d found at %d: %v", i, p, found)
		}
	}
	if p, found := ids.add("id77"); !found || p != 77 {
		t.Errorf("a second id77: %d, %v", p, found)
	}
	if _, found := ids.find("id5000"); found {
		t.Error("found what is not there")
	}
}

// benchmarkRanker is 1,000 queries and 16,384 documents of 384 values.
func benchmarkRanker() (*ranker, Matrix) {
	r := rand.New(rand.NewPCG(7, 8))
	s := &ranker{job: &job{Options: Options{TopK: 1000, Scorer: GoScorer{}}}, queries: randomMatrix(r, 1000, 384), heaps: make([]topK, 1000)}
	for i := range 16384 {
		s.ids.add(fmt.Sprint(i))
	}
	return s, randomMatrix(r, 16384, 384)
}

// BenchmarkGoScorer reports the matrix product alone.
func BenchmarkGoScorer(b *testing.B) {
	s, documents := benchmarkRanker()
	scores := make([]float32, queryBlock*documentBlock)
	queries, part := s.queries.rows(0, queryBlock), documents.rows(0, documentBlock)
	for b.Loop() {
		if err := s.Scorer.Score(b.Context(), queries, part, scores); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(2*float64(queries.Rows*part.Rows*part.Dim)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// constantScorer leaves the scores as they are, so that what is left is the selection.
type constantScorer struct{}

func (constantScorer) Score(context.Context, Matrix, Matrix, []float32) error { return nil }

// BenchmarkSelection reports the selection of the best 1,000 alone, in the state of a long
// run: full heaps, scores that rarely enter.
func BenchmarkSelection(b *testing.B) {
	s, documents := benchmarkRanker()
	if err := s.rank(b.Context(), documents, 0); err != nil {
		b.Fatal(err)
	}
	s.Scorer = constantScorer{}
	for i := range s.scores {
		s.scores[i] /= 1.5
	}
	b.ResetTimer()
	for b.Loop() {
		if err := s.rank(b.Context(), documents, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.queries.Rows*documents.Rows)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gscores/s")
}
