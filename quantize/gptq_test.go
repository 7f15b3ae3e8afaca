package quantize

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"graft/graph"
)

// GPTQ's rounding changes a product by less than rounding to nearest, on inputs that correlate and are of different sizes: in
// blocks with and without zero points, and with a scale for each column.
func TestGPTQBeatsRounding(t *testing.T) {
	const tokens, k, n = 512, 64, 80 // columns are corrected 64 at once
	r := rand.New(rand.NewPCG(1, 2))
	x, w := make([]float32, tokens*k), make([]float32, k*n)
	for i := range tokens {
		common := r.NormFloat64()
		for f := range k {
			x[i*k+f] = float32(r.NormFloat64()+2*common) * float32(1+f%5)
		}
	}
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	mask := make([]int64, tokens)
	for i := range mask {
		mask[i] = 1
	}
	g := &gram{k: k, sum: selfProduct(x, k, mask)}
	c, err := g.correction()
	if err != nil {
		t.Fatal(err)
	}
	lost := func(q *blocks) (sum float64) {
		v := q.values()
		for i := range tokens {
			for c := range n {
				d := 0.0
				for f := range k {
					d += float64(x[i*k+f]) * float64(w[f*n+c]-v[f*n+c])
				}
				sum += d * d
			}
		}
		return sum
	}
	for _, b := range []blocking{
		{size: blockSize, bits: 4, asymmetric: true},
		{size: blockSize, bits: 4, positive: true},
		{size: blockSize, bits: 8, asymmetric: true},
		{size: blockSize, bits: 8},
		{size: k, bits: 8, positive: true},
	} {
		b.k, b.n = k, n
		t.Run(fmt.Sprintf("%+v", b), func(t *testing.T) {
			nearest, _, err := b.whole(graph.Transpose(graph.NewTensor("w", w, k, n)))
			if err != nil {
				t.Fatal(err)
			}
			corrected := b.columns(n)
			corrected.correct(w, c)
			if a, b := lost(nearest), lost(corrected); !(b < 0.6*a) {
				t.Errorf("squared error %g, rounded to nearest %g", b, a)
			}
		})
	}
}

// Inputs that tell nothing apart leave every weight rounded to nearest.
func TestGPTQOfUnrelatedInputs(t *testing.T) {
	const k, n = 64, 3
	r := rand.New(rand.NewPCG(7, 8))
	w := make([]float32, k*n)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	g := &gram{k: k, sum: make([]float32, k*k)}
	for i := range k {
		g.sum[i*k+i] = float32(1 + i)
	}
	c, err := g.correction()
	if err != nil {
		t.Fatal(err)
	}
	b := blocking{k: k, n: n, size: blockSize, bits: 8, asymmetric: true}
	nearest, _, err := b.whole(graph.Transpose(graph.NewTensor("w", w, k, n)))
	if err != nil {
		t.Fatal(err)
	}
	corrected := b.columns(n)
	corrected.correct(w, c)
	near(t, "weights", corrected.values(), nearest.values(), 1e-9)
}

// What was measured makes a whole model lose less, on each target that stores int8 otherwise.
func TestCorrectedLosesLess(t *testing.T) {
	for _, target := range []Target{CPU, OpenVINO} {
		m, _, o := bert(t)
		o.Scheme, o.Target = "int8-weight", target
		corrected := planned(t, m, o)
		o.Activations = nil
		nearest := planned(t, m, o)
		if !(*corrected.Loss < 0.8**nearest.Loss) {
			t.Errorf("%s: loss %g, rounded to nearest %g", target, *corrected.Loss, *nearest.Loss)
		}
	}
}
