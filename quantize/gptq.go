package quantize

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"

	"graft/graph"
)

// damping is added to the diagonal of Xᵀ·X, as a part of its mean, so that it can be inverted
// (Frantar et al. 2022, section 3.3).
const damping = 0.01

// mostGram bounds the inputs whose Xᵀ·X is taken: its size is their square, its inversion their cube.
// Weights with more inputs are rounded to nearest.
const mostGram = 4096

// gram is Xᵀ·X [K, K] over real tokens, of which what lies below the diagonal is not computed: what
// the error of a product depends on.
type gram struct {
	k   int
	sum []float32
	x   []float32 // tokens of the present batch, reused
}

// add takes in the real tokens of a batch.
func (g *gram) add(mask []int64, x []float32) {
	g.x = g.x[:0]
	for t, real := range mask {
		if real != 0 {
			g.x = append(g.x, x[t*g.k:(t+1)*g.k]...)
		}
	}
	if len(g.x) == 0 {
		return
	}
	tokens := len(g.x) / g.k
	for i := 0; i < g.k; i += strip {
		part := min(strip, g.k-i)
		a := blas32.General{Rows: tokens, Cols: part, Stride: g.k, Data: g.x[i:]}
		b := blas32.General{Rows: tokens, Cols: g.k - i, Stride: g.k, Data: g.x[i:]}
		blas32.Gemm(blas.Trans, blas.NoTrans, 1, a, b, 1, blas32.General{Rows: part, Cols: g.k - i, Stride: g.k, Data: g.sum[i*g.k+i:]})
	}
}

// strip is the number of rows of Xᵀ·X that are computed at once, each from the diagonal on.
const strip = 128

// factor is the upper triangle U with Uᵀ·U = (Xᵀ·X + damping)⁻¹.
func (g *gram) factor() (*mat.TriDense, error) {
	h := mat.NewSymDense(g.k, nil)
	mean := 0.0
	for i := range g.k {
		mean += float64(g.sum[i*g.k+i]) / float64(g.k)
		for j := i; j < g.k; j++ {
			h.SetSym(i, j, float64(g.sum[i*g.k+j]))
		}
	}
	if mean == 0 {
		mean = 1
	}
	for i := range g.k {
		h.SetSym(i, i, h.At(i, i)+damping*mean)
	}
	var chol mat.Cholesky
	var inverse mat.SymDense
	u := mat.NewTriDense(g.k, mat.Upper, nil)
	if !chol.Factorize(h) {
		return nil, fmt.Errorf("its inputs on the calibration texts are not finite")
	}
	if err := chol.InverseTo(&inverse); err != nil {
		return nil, err
	}
	if !chol.Factorize(&inverse) {
		return nil, fmt.Errorf("its inputs on the calibration texts cannot be told apart")
	}
	chol.UTo(u)
	return u, nil
}

// correct rounds the weights one input after the other and lets those that follow make up for the error,
// as far as the inputs correlate on the calibration texts (GPTQ, Frantar et al. 2022, algorithm 1).
// Scales are fit to the weights as they stand when their block begins.
func (q *blocks) correct(w []float32, u *mat.TriDense) {
	w = append([]float32{}, w...)
	failed, column := make([]float32, q.n), make([]float32, q.size)
	for k := range q.k {
		if k%q.size == 0 {
			part := column[:min(q.size, q.k-k)]
			for c := range q.n {
				for i := range part {
					part[i] = w[(k+i)*q.n+c]
				}
				q.fit(c, k/q.size, part)
			}
		}
		row := w[k*q.n : (k+1)*q.n]
		for c, x := range row {
			failed[c] = (x - q.set(c, k, x)) / float32(u.At(k, k))
		}
		for j := k + 1; j < q.k; j++ {
			blas32.Axpy(-float32(u.At(k, j)), blas32.Vector{N: q.n, Inc: 1, Data: failed},
				blas32.Vector{N: q.n, Inc: 1, Data: w[j*q.n : (j+1)*q.n]})
		}
	}
}

// correct is m in b by GPTQ, with its relative error; nil where its inputs were not measured.
func (j *job) correct(m *matrix, b blocking) (*blocks, float64, error) {
	g := j.calibration.grams[m.weight.Name]
	if g == nil {
		return nil, 0, nil
	}
	if c := j.calibration; c.factored != g { // queries, keys and values follow one another and read the same inputs
		u, err := g.factor()
		if err != nil {
			return nil, 0, err
		}
		c.factored, c.factor = g, u
	}
	w, err := m.values()
	if err != nil {
		return nil, 0, err
	}
	q := b.columns(m.n)
	q.correct(w, j.calibration.factor)
	return q, relativeError(w, q.values()), nil
}

// measureGrams takes Xᵀ·X of the inputs of all products that are to be corrected. The CPU provider, which
// measures, does not run the form for CUDA: the portable one stands in for it.
func (j *job) measureGrams() error {
	probe := j
	if j.Target == CUDA {
		portable, err := newJob(j.ctx, j.original, j.scheme, j.Options.on(Portable))
		if err != nil {
			return err
		}
		probe = portable
	}
	var values []*graph.Value
	taken := map[*graph.Value]*gram{}
	j.calibration.grams = map[string]*gram{}
	for _, m := range matrices(probe.source.Graph) {
		x := m.nodes[0].Inputs[0]
		if m.k > mostGram || len(m.nodes) != 1 || !perToken(x) {
			continue
		}
		if taken[x] == nil {
			taken[x] = &gram{k: m.k, sum: make([]float32, m.k*m.k)}
			values = append(values, x)
		}
		j.calibration.grams[m.weight.Name] = taken[x]
	}
	return probe.record(values, func(mask []int64, x [][]float32) {
		for i, v := range values {
			taken[v].add(mask, x[i])
		}
	})
}

// on is o for another target.
func (o Options) on(t Target) Options {
	o.Target = t
	return o
}
