package prune

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"graft/graph"
)

// WidthCriterion tells how much each head or neuron matters beside the others of its layer.
type WidthCriterion struct {
	Name string
	Doc  string // one line, with its source

	score func(ctx context.Context, m *graph.Model, list []parts, o WidthOptions) ([][]float64, error)
}

// widthCriteria are all of them; the first is the default.
var widthCriteria = []WidthCriterion{
	{Name: "activation", Doc: "root mean square of the features times their weights (Sun et al. 2023, Wanda)", score: activation},
	{Name: "gradient", Doc: "how the loss on training rows changes with the part, to first order (Michel et al. 2019; Molchanov et al. 2019)", score: gradient},
}

// WidthCriteria lists the criteria of heads and neurons.
func WidthCriteria() []WidthCriterion { return slices.Clone(widthCriteria) }

func widthCriterionNamed(name string) (WidthCriterion, error) {
	if name == "" {
		return widthCriteria[0], nil
	}
	var known []string
	for _, c := range widthCriteria {
		if c.Name == name {
			return c, nil
		}
		known = append(known, c.Name)
	}
	return WidthCriterion{}, fmt.Errorf("unknown criterion %q of heads and neurons (known: %s)", name, strings.Join(known, ", "))
}

// scores are the importances of the parts of each of the list.
func (c WidthCriterion) scores(ctx context.Context, m *graph.Model, list []parts, o WidthOptions) ([][]float64, error) {
	scores, err := c.score(ctx, m, list, o)
	if err != nil {
		return nil, err
	}
	for i, p := range list {
		if slices.ContainsFunc(scores[i], func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }) {
			return nil, fmt.Errorf("layer %d: what is measured is not finite", p.layer)
		}
	}
	return scores, nil
}

// combine gives each part of so many features what f makes of theirs.
func combine(features []float64, size int, f func(part []float64) float64) []float64 {
	var all []float64
	for part := range slices.Chunk(features, size) {
		all = append(all, f(part))
	}
	return all
}

// addProducts adds a·b, of two weights with the shape of p's, to the sum of each feature that is multiplied by them.
func (p product) addProducts(sums []float64, a, b []float32) {
	columns := int(p.weight.Init.Shape[1])
	for i, x := range a {
		feature := i / columns
		if p.outAxis == 0 {
			feature = i % columns
		}
		sums[feature] += float64(x) * float64(b[i])
	}
}
