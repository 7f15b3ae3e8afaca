// Package pass rewrites models: Raise finds the structure in a graph, Lower writes it in the
// form that a target runs fastest, Simplify removes what is computed or stored for nothing.
package pass

import (
	"fmt"

	"graft/graph"
)

// Pass is one rewrite of a model, in place.
type Pass struct {
	Name string
	Doc  string // one sentence for people
	Run  func(*graph.Model) (changed bool, err error)
}

// simplification is what Simplify runs, in this order, until nothing changes.
var simplification = []Pass{
	Forward,  // first: a Cast or an Identity in between hides constants and equal nodes from what follows
	Reshapes, // leaves the arithmetic that computed the shapes to Dead
	Fold,     // leaves constants that are equal, and inputs that nothing reads any more
	Branches, // leaves an Identity
	Dedupe,   // leaves nodes and weights that nothing reads any more
	Dead,     // last: it removes what the others left
}

// mostRounds bounds how often Simplify runs its passes; each round removes a node or a weight.
const mostRounds = 100

// checkEach makes Run check the model after each pass. The tests set it.
var checkEach bool

// Run applies passes in order and reports whether any changed m. The error names the pass that failed.
func Run(m *graph.Model, passes ...Pass) (changed bool, err error) {
	for _, p := range passes {
		c, err := p.Run(m)
		if err != nil {
			return changed, fmt.Errorf("pass %q: %w", p.Name, err)
		}
		changed = changed || c
		if !checkEach {
			continue
		}
		if err := graph.Check(m); err != nil {
			return changed, fmt.Errorf("after pass %q: %w", p.Name, err)
		}
	}
	return changed, nil
}

// Simplify evaluates what is constant, merges what is equal and removes what nothing reads.
// Inputs and outputs keep their names and types; of equal weights the first keeps its name.
func Simplify(m *graph.Model) error {
	if err := repeat(m, simplification...); err != nil {
		return fmt.Errorf("simplify model: %w", err)
	}
	return nil
}

// repeat runs passes until nothing changes.
func repeat(m *graph.Model, passes ...Pass) error {
	for range mostRounds {
		if changed, err := Run(m, passes...); err != nil || !changed {
			return err
		}
	}
	return nil
}

// defaults are the graph inputs of g and its subgraphs: where they have an initializer, it is
// a default that a caller may replace, not a constant.
func defaults(g *graph.Graph) map[*graph.Value]bool {
	set := map[*graph.Value]bool{}
	g.WalkGraphs(func(s *graph.Graph) {
		for _, v := range s.Inputs {
			set[v] = true
		}
	})
	return set
}

// outputs are the outputs of g and of its subgraphs.
func outputs(g *graph.Graph) map[*graph.Value]bool {
	set := map[*graph.Value]bool{}
	g.WalkGraphs(func(s *graph.Graph) {
		for _, v := range s.Outputs {
			set[v] = true
		}
	})
	return set
}

// subgraphs calls f for each graph that n holds itself.
func subgraphs(n *graph.Node, f func(*graph.Graph)) {
	for _, a := range n.Attrs {
		if a.Graph != nil {
			f(a.Graph)
		}
		for _, g := range a.Graphs {
			f(g)
		}
	}
}
