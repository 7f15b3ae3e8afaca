package prune

import (
	"context"
	"errors"
	"math"

	"graft/graph"
)

// activation scores by activation times weight: each feature that reaches the last product of an attention or of a
// feed-forward network is as important as its root mean square over real tokens times the length of its row in that
// product's weight (Sun et al. 2023, Wanda, summed over the row); a head is as important as its features together. A
// part of importance 0 adds nothing to any text that was measured.
func activation(ctx context.Context, m *graph.Model, list []parts, o WidthOptions) ([][]float64, error) {
	if o.Activations == nil {
		return nil, errors.New("there is nothing to run the model with")
	}
	values, squares := make([]*graph.Value, len(list)), make([][]float64, len(list))
	for i, p := range list {
		values[i], squares[i] = p.out.node.Input(0), make([]float64, p.features())
	}
	tokens := 0
	err := o.Activations.Record(ctx, m, values, func(mask []int64, got [][]float32) error {
		for t, real := range mask {
			if real == 0 {
				continue
			}
			tokens++
			for i := range list {
				for j, x := range row(got[i], t, len(mask)) {
					squares[i][j] += float64(x) * float64(x)
				}
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
	scores := make([][]float64, len(list))
	for i, p := range list {
		w, err := p.out.weight.Init.Float32s()
		if err != nil {
			return nil, err
		}
		lengths := make([]float64, p.features()) // squared
		p.out.addProducts(lengths, w, w)
		for j := range lengths {
			squares[i][j] *= lengths[j] / float64(tokens)
		}
		scores[i] = combine(squares[i], p.size, func(part []float64) float64 { return math.Sqrt(sum(part)) })
	}
	return scores, nil
}

func sum(list []float64) float64 {
	total := 0.0
	for _, x := range list {
		total += x
	}
	return total
}
