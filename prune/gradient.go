package prune

import (
	"context"
	"errors"
	"math"

	"graft/graph"
)

// Gradients runs m forwards and backwards on the user's training rows and hands over, batch by batch, the gradient of
// the loss by each of the weights, the names of initializers in m, in their layout. It may not be kept when use returns.
type Gradients func(ctx context.Context, m *graph.Model, weights []string, use func(gradients [][]float32) error) error

// gradient scores a part by |dL/dg|, where g = 1 multiplies all that the part adds (Michel et al. 2019, "Are sixteen heads
// really better than one?"; for a neuron, the first-order Taylor criterion of Molchanov et al. 2019), averaged over
// batches. The loss depends on g through the rows W of the last product alone, so dL/dg is the sum of W·dL/dW over them.
// Where layers share their weights, the part is the same one in all of them.
func gradient(ctx context.Context, m *graph.Model, list []parts, o WidthOptions) ([][]float64, error) {
	if o.Gradients == nil {
		return nil, errors.New("there is nothing to train the model with")
	}
	names, weights := make([]string, len(list)), make([][]float32, len(list))
	scores := make([][]float64, len(list))
	for i, p := range list {
		var err error
		if weights[i], err = p.out.weight.Init.Float32s(); err != nil {
			return nil, err
		}
		names[i], scores[i] = p.out.weight.Name, make([]float64, p.features()/p.size)
	}
	batches := 0
	err := o.Gradients(ctx, m, names, func(gradients [][]float32) error {
		batches++
		for i, p := range list {
			slopes := make([]float64, p.features())
			p.out.addProducts(slopes, weights[i], gradients[i])
			for j, slope := range combine(slopes, p.size, sum) {
				scores[i][j] += math.Abs(slope)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if batches == 0 {
		return nil, errors.New("the training rows make no batch")
	}
	for i := range scores {
		for j := range scores[i] {
			scores[i][j] /= float64(batches)
		}
	}
	return scores, nil
}
