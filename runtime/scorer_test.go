package runtime

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func random(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// TestScorer compares with sums in float64, at sizes that fill no block of a matrix product whole.
func TestScorer(t *testing.T) {
	requireORT(t)
	s, err := NewScorer(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, size := range [][3]int{{1, 1, 1}, {3, 7, 5}, {17, 129, 384}, {2, 2100, 33}, {3, 2048, 16}} {
		m, n, dim := size[0], size[1], size[2]
		q, d, scores := random(m*dim, 1), random(n*dim, 2), make([]float32, m*n)
		if err := s.Score(context.Background(), q, d, dim, scores); err != nil {
			t.Fatal(err)
		}
		for i := range m {
			for j := range n {
				want := 0.0
				for k := range dim {
					want += float64(q[i*dim+k]) * float64(d[j*dim+k])
				}
				if got := float64(scores[i*n+j]); math.Abs(got-want) > 1e-4 {
					t.Fatalf("%d×%d×%d: score[%d,%d] = %g, want %g", m, n, dim, i, j, got, want)
				}
			}
		}
	}
}

// TestScorerBlocks: a score does not depend on what else is in the block, or a resumed search
// would differ from one that was not interrupted.
func TestScorerBlocks(t *testing.T) {
	requireORT(t)
	s, err := NewScorer(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const m, n, dim = 40, 2530, 384
	q, d, whole := random(m*dim, 1), random(n*dim, 2), make([]float32, m*n)
	if err := s.Score(context.Background(), q, d, dim, whole); err != nil {
		t.Fatal(err)
	}
	for _, block := range []int{2048, 512, 64, 1} {
		part := make([]float32, m*block)
		if err := s.Score(context.Background(), q, d[:block*dim], dim, part); err != nil {
			t.Fatal(err)
		}
		for i := range m {
			for j := range block {
				if part[i*block+j] != whole[i*n+j] {
					t.Fatalf("%d documents: score[%d,%d] = %v, in a block of %d %v", block, i, j, part[i*block+j], n, whole[i*n+j])
				}
			}
		}
	}
}

func TestScorerRefusesSizes(t *testing.T) {
	requireORT(t)
	s, err := NewScorer(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Score(context.Background(), make([]float32, 5), make([]float32, 4), 4, make([]float32, 9)); err == nil {
		t.Error("5 numbers as rows of 4: no error")
	}
	if err := s.Score(context.Background(), make([]float32, 4), make([]float32, 8), 4, make([]float32, 1)); err == nil {
		t.Error("2 scores into room for 1: no error")
	}
}

// BenchmarkScorer reports GFLOP/s: the blocks that the search scores, and as the machine's ceiling
// a large square product in the same library.
func BenchmarkScorer(b *testing.B) {
	requireORT(b)
	for _, size := range [][3]int{{3072, 3072, 3072}, {512, 2048, 384}, {300, 2048, 384}, {512, 2048, 768}, {512, 2048, 1024}} {
		m, n, dim := size[0], size[1], size[2]
		b.Run(fmt.Sprintf("%dx%dx%d", m, n, dim), func(b *testing.B) {
			s, err := NewScorer(0)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			q, d, scores := random(m*dim, 1), random(n*dim, 2), make([]float32, m*n)
			for b.Loop() {
				if err := s.Score(context.Background(), q, d, dim, scores); err != nil {
					b.Fatal(err)
				}
			}
			flop := 2 * float64(m) * float64(n) * float64(dim) * float64(b.N)
			b.ReportMetric(flop/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
