package prune

import (
	"context"
	"errors"
	"fmt"
	"math"

	"graft/graph"
)

// blockInfluence is 1 - the mean cosine of each block's input and output over the real tokens of all
// texts (Men et al. 2024, "ShortGPT", equation 1). The output of the last block is taken before
// the final norm, where there is one.
func blockInfluence(ctx context.Context, m *graph.Model, o Options) ([]float64, error) {
	if o.Activations == nil {
		return nil, errors.New("there is nothing to run the model with")
	}
	layers, err := find(m)
	if err != nil {
		return nil, err
	}
	stream := []*graph.Value{layers[0].Input}
	for _, l := range layers {
		stream = append(stream, l.Output)
	}
	sums, tokens := make([]float64, len(layers)), 0
	err = o.Activations.Record(ctx, m, stream, func(mask []int64, values [][]float32) error {
		for t, real := range mask {
			if real == 0 {
				continue
			}
			tokens++
			for i := range layers {
				sums[i] += cosine(row(values[i], t, len(mask)), row(values[i+1], t, len(mask)))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if tokens == 0 {
		return nil, errors.New("the texts have no tokens")
	}
	scores := make([]float64, len(layers))
	for i, sum := range sums {
		scores[i] = 1 - sum/float64(tokens)
		if math.IsNaN(scores[i]) {
			return nil, fmt.Errorf("layer %d: its input or output is not finite on these texts", i)
		}
	}
	return scores, nil
}

// row is row t of n in a matrix.
func row(x []float32, t, n int) []float32 {
	width := len(x) / n
	return x[t*width : (t+1)*width]
}

// cosine is that of two vectors; 1 where one is zero, since nothing can be said then.
func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 1
	}
	return ab / math.Sqrt(aa*bb)
}
