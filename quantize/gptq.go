package quantize

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
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

// gram is Xᵀ·X [K, K] over real tokens: what the error of a product depends on.
type gram struct {
	k   int
	sum []float32
}

// correction is what the rounding of a weight goes by when it makes up for what it misses.
type correction struct {
	order []int     // of the inputs in which their weights are rounded: those that are large on the calibration texts first
	share []float32 // row-major [K, K], both in that order: how much of what is missed at an input each later one takes over
}

// correction is taken from the upper triangle U with Uᵀ·U = (Xᵀ·X + damping)⁻¹: its rows, each over its element of the diagonal.
// U is the inverse of Cholesky's factor with rows and columns in the reverse order.
func (g *gram) correction() (*correction, error) {
	c := &correction{order: make([]int, g.k), share: make([]float32, g.k*g.k)}
	mean := 0.0
	for i := range c.order {
		c.order[i] = i
		mean += float64(g.at(i, i)) / float64(g.k)
	}
	if mean == 0 {
		mean = 1
	}
	slices.SortStableFunc(c.order, func(a, b int) int { return cmp.Compare(g.at(b, b), g.at(a, a)) })
	last := g.k - 1
	h := mat.NewSymDense(g.k, nil)
	for i, a := range c.order {
		for j, b := range c.order[i:] {
			h.SetSym(last-i, last-i-j, float64(g.at(a, b)))
		}
		h.SetSym(last-i, last-i, float64(g.at(a, a))+damping*mean)
	}
	var chol mat.Cholesky
	if !chol.Factorize(h) {
		return nil, errors.New("its inputs on the calibration texts are not finite")
	}
	l := mat.NewTriDense(g.k, mat.Lower, nil)
	chol.LTo(l)
	if err := l.InverseTri(l); err != nil {
		return nil, fmt.Errorf("its inputs on the calibration texts cannot be told apart: %w", err)
	}
	for i := range g.k {
		for j := i; j < g.k; j++ {
			c.share[i*g.k+j] = float32(l.At(last-i, last-j) / l.At(last-i, last-i))
		}
	}
	return c, nil
}

// at is an element of Xᵀ·X.
func (g *gram) at(i, j int) float32 { return g.sum[i*g.k+j] }

// correct rounds weights [K, N] one input after the other and lets those that follow make up for the error,
// as far as the inputs correlate on the calibration texts (GPTQ, Frantar et al. 2022, algorithm 1). Scales are fit to the
// weights as they were, so that the order may be any. Columns do not depend on each other.
func (q *blocks) correct(w []float32, c *correction) {
	const columns = 64 // at once, which a processor's second cache holds
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for first := 0; first < q.n; first += columns {
		group.Go(func() error {
			q.correctColumns(w, c, first, min(columns, q.n-first))
			return nil
		})
	}
	group.Wait()
}

func (q *blocks) correctColumns(w []float32, c *correction, first, n int) {
	left := make([]float32, q.k*n) // [K, n]: the weights, and what they took over
	for k := range q.k {
		copy(left[k*n:][:n], w[k*q.n+first:])
	}
	column := make([]float32, q.k)
	for i := range n {
		for k := range column {
			column[k] = left[k*n+i]
		}
		for b := range q.perColumn() {
			q.fit((first+i)*q.perColumn()+b, column[b*q.size:min((b+1)*q.size, q.k)])
		}
	}
	missed := blas32.Vector{N: n, Inc: 1, Data: make([]float32, n)}
	for i, k := range c.order {
		for at, x := range left[k*n:][:n] {
			missed.Data[at] = x - q.set(first+at, k, x)
		}
		share := c.share[i*q.k:][:q.k]
		for j := i + 1; j < q.k; j++ {
			blas32.Axpy(-share[j], missed, blas32.Vector{N: n, Inc: 1, Data: left[c.order[j]*n:][:n]})
		}
	}
}

// corrected is m in b by GPTQ, laid out by parts, where its inputs were measured, else nearest.
func (j *job) corrected(m *matrix, b blocking, parts func(*blocks) [][]byte, nearest *rounding) (*rounding, error) {
	g := j.calibration.grams[m.weight.Name]
	if g == nil {
		return nearest, nil
	}
	if c := j.calibration; c.factored != g { // queries, keys and values follow one another and read the same inputs
		correction, err := g.correction()
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", m.name, err)
		}
		c.factored, c.correction = g, correction
	}
	w, err := m.values()
	if err != nil {
		return nil, err
	}
	q := b.columns(m.n)
	q.correct(w, j.calibration.correction)
	if !finite(q.scales) {
		return nil, fmt.Errorf("layer %q: %w", m.name, errNotFinite)
	}
	return finished(parts(q), relativeError(w, q.values())), nil
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
			taken[x] = &gram{k: m.k}
			values = append(values, x)
		}
		j.calibration.grams[m.weight.Name] = taken[x]
	}
	sums, tokens, err := probe.Activations.Products(probe.ctx, probe.source, values)
	if err == nil && tokens == 0 {
		err = errNoTokens
	}
	if err != nil {
		return err
	}
	for i, sum := range sums {
		g := taken[values[i]]
		if g.sum = sum; len(sum) != g.k*g.k {
			return fmt.Errorf("value %q has %d products of features, want %d²", values[i].Name, len(sum), g.k)
		}
	}
	return nil
}

// on is o for another target.
func (o Options) on(t Target) Options {
	o.Target = t
	return o
}
