package evaluate

import (
	"context"
	"fmt"
	"math"
	goruntime "runtime"
	"sync"
)

// Matrix is a row-major float32 matrix, one vector a row.
type Matrix struct {
	Rows, Dim int
	Data      []float32 // Rows * Dim
}

// Row returns row i.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Dim : (i+1)*m.Dim] }

// rows returns the rows from..to as a matrix that shares its data.
func (m Matrix) rows(from, to int) Matrix {
	return Matrix{to - from, m.Dim, m.Data[from*m.Dim : to*m.Dim]}
}

// check says whether the shape is what was asked for.
func (m Matrix) check(rows int) error {
	if m.Rows != rows || m.Dim <= 0 || len(m.Data) != m.Rows*m.Dim {
		return fmt.Errorf("%d vectors of %d values (%d in all), want %d vectors", m.Rows, m.Dim, len(m.Data), rows)
	}
	return nil
}

// normalize divides each row by its length, in float32 as torch.nn.functional.normalize
// does; a zero row stays zero.
func (m Matrix) normalize() {
	for i := range m.Rows {
		row := m.Row(i)
		sum := float64(0)
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		length := max(float32(math.Sqrt(sum)), 1e-12)
		for d := range row {
			row[d] /= length
		}
	}
}

// notFinite returns the first row that holds a NaN or an infinity, -1 if there is none.
func (m Matrix) notFinite() int {
	for i, v := range m.Data {
		if v-v != 0 { // true of NaN and infinities alone
			return i / m.Dim
		}
	}
	return -1
}

// Scorer computes dot products. The result for a pair must not depend on what else is in
// the block, or a resumed run would differ from one that was not interrupted.
type Scorer interface {
	// Score sets scores[q*documents.Rows+d] = queries.Row(q) · documents.Row(d).
	Score(ctx context.Context, queries, documents Matrix, scores []float32) error
}

// GoScorer is the portable Scorer: register blocks of four queries by two documents on all
// processors. Several times slower than a matrix product of a native library, and enough
// for corpora up to some hundred thousand documents.
type GoScorer struct{}

// Score implements Scorer.
func (GoScorer) Score(ctx context.Context, queries, documents Matrix, scores []float32) error {
	if queries.Dim != documents.Dim || len(scores) < queries.Rows*documents.Rows {
		return fmt.Errorf("score: %d×%d queries by %d×%d documents into %d scores",
			queries.Rows, queries.Dim, documents.Rows, documents.Dim, len(scores))
	}
	const block = 64 // documents that stay in the first-level cache with four queries
	parallel(documents.Rows, block, func(from, to int) {
		for d := from; d < to && ctx.Err() == nil; d += block {
			scoreBlock(queries, documents, d, min(d+block, to), scores)
		}
	})
	return ctx.Err()
}

// scoreBlock scores all queries against the documents from..to.
func scoreBlock(queries, documents Matrix, from, to int, scores []float32) {
	n := documents.Rows
	q := 0
	for ; q+4 <= queries.Rows; q += 4 {
		a, b, c, e := queries.Row(q), queries.Row(q+1), queries.Row(q+2), queries.Row(q+3)
		for d := from; d < to; d++ {
			scores[q*n+d], scores[(q+1)*n+d], scores[(q+2)*n+d], scores[(q+3)*n+d] = dot4(a, b, c, e, documents.Row(d))
		}
	}
	for ; q < queries.Rows; q++ {
		a := queries.Row(q)
		for d := from; d < to; d++ {
			scores[q*n+d], _, _, _ = dot4(a, a, a, a, documents.Row(d))
		}
	}
}

// dot4 is the dot product of x with four vectors of its length, each with two running sums.
func dot4(a, b, c, e, x []float32) (ra, rb, rc, re float32) {
	a, b, c, e = a[:len(x)], b[:len(x)], c[:len(x)], e[:len(x)]
	var a1, b1, c1, e1 float32
	i := 0
	for ; i+2 <= len(x); i += 2 {
		x0, x1 := x[i], x[i+1]
		ra += a[i] * x0
		a1 += a[i+1] * x1
		rb += b[i] * x0
		b1 += b[i+1] * x1
		rc += c[i] * x0
		c1 += c[i+1] * x1
		re += e[i] * x0
		e1 += e[i+1] * x1
	}
	if i < len(x) {
		x0 := x[i]
		ra += a[i] * x0
		rb += b[i] * x0
		rc += c[i] * x0
		re += e[i] * x0
	}
	return ra + a1, rb + b1, rc + c1, re + e1
}

// parallel splits 0..n into a contiguous part per processor, each a multiple of step but
// the last, and waits for all.
func parallel(n, step int, f func(from, to int)) {
	workers := goruntime.GOMAXPROCS(0)
	part := (n + workers - 1) / workers
	part = (part + step - 1) / step * step
	var group sync.WaitGroup
	for from := 0; from < n; from += part {
		group.Go(func() { f(from, min(from+part, n)) })
	}
	group.Wait()
}
