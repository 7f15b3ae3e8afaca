package prune

import (
	"context"
	"fmt"
	"strings"

	"graft/graph"
)

// Criterion tells how much each layer matters.
type Criterion struct {
	Name string
	Doc  string // one line, with its source

	rescore bool // layers go one by one, and those that are left are scored again after each
	score   func(ctx context.Context, m *graph.Model, o Options) ([]float64, error)
}

// criteria are all of them; the first is the default.
var criteria = []Criterion{
	{Name: "block-influence", Doc: "1 - mean cosine of a block's input and output over real tokens (Men et al. 2024, ShortGPT)", score: blockInfluence},
	{Name: "iterative-block-influence", Doc: "the same, measured again after each layer that goes", score: blockInfluence, rescore: true},
	{Name: "leave-one-out", Doc: "what a task's quality loses where the layer is left out", score: leaveOneOut},
	{Name: "iterative-leave-one-out", Doc: "the same, measured again after each layer that goes", score: leaveOneOut, rescore: true},
}

// Criteria lists the criteria.
func Criteria() []Criterion { return append([]Criterion{}, criteria...) }

func criterionNamed(name string) (Criterion, error) {
	if name == "" {
		return criteria[0], nil
	}
	var known []string
	for _, c := range criteria {
		if c.Name == name {
			return c, nil
		}
		known = append(known, c.Name)
	}
	return Criterion{}, fmt.Errorf("unknown criterion %q (known: %s)", name, strings.Join(known, ", "))
}
