package prune

import (
	"context"
	"errors"
	"slices"

	"graft/graph"
)

// leaveOneOut is what the quality of m loses without each layer.
func leaveOneOut(ctx context.Context, m *graph.Model, o Options) ([]float64, error) {
	if o.Quality == nil {
		return nil, errors.New("it needs a task to measure quality with")
	}
	layers, err := find(m)
	if err != nil {
		return nil, err
	}
	if len(layers) == 1 {
		return []float64{0}, nil
	}
	whole, err := o.Quality(ctx, m)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(layers))
	for i := range layers {
		smaller := m.Clone()
		if err := cut(smaller, slices.Delete(indices(len(layers)), i, i+1)); err != nil {
			return nil, err
		}
		q, err := o.Quality(ctx, smaller)
		if err != nil {
			return nil, err
		}
		scores[i] = whole - q
	}
	return scores, nil
}

// indices are 0 to n-1.
func indices(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
