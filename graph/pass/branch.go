package pass

import (
	"fmt"

	"graft/graph"
)

// Branches replaces If by the branch that its condition, a constant, chooses: torch exports the branches of scripted functions, and
// which one is taken often follows from sizes.
var Branches = Pass{"branches", "replace If of a constant condition by its branch", branches}

func branches(m *graph.Model) (bool, error) {
	changed, given := false, defaults(m.Graph)
	var names map[string]int
	m.Graph.WalkGraphs(func(g *graph.Graph) {
		var nodes []*graph.Node
		for _, n := range g.Nodes {
			taken := chosenBranch(n, given)
			if taken == nil {
				nodes = append(nodes, n)
				continue
			}
			if names == nil {
				names = valuesByName(m)
			}
			nodes, changed = append(nodes, splice(g, n, taken, names)...), true
		}
		g.Nodes = nodes
	})
	return changed, nil
}

// chosenBranch is the graph of If that runs; nil where that is not known.
func chosenBranch(n *graph.Node, given map[*graph.Value]bool) *graph.Graph {
	cond := n.Input(0)
	if !n.Is("If") || cond.Const() == nil || given[cond] || cond.Const().Len() != 1 || cond.Const().DType != graph.Bool {
		return nil
	}
	b, err := cond.Const().Bytes()
	if err != nil || len(b) != 1 {
		return nil
	}
	a := n.Attr("else_branch")
	if b[0] != 0 {
		a = n.Attr("then_branch")
	}
	if a == nil || a.Graph == nil || len(a.Graph.Outputs) < len(n.Outputs) {
		return nil
	}
	return a.Graph
}

// splice makes the values of branch values of g, under names that no other has, and has the branch's outputs written as n's.
func splice(g *graph.Graph, n *graph.Node, branch *graph.Graph, names map[string]int) []*graph.Node {
	own := func(list []*graph.Value) {
		for _, v := range list {
			if v == nil || names[v.Name] < 2 {
				continue
			}
			names[v.Name]--
			name := v.Name
			for i := 1; names[v.Name] > 0; i++ {
				v.Name = fmt.Sprintf("%s_%d", name, i)
			}
			names[v.Name]++
		}
	}
	own(branch.Initializers)
	nodes := branch.Nodes
	for _, x := range nodes {
		own(x.Outputs)
	}
	g.Initializers = append(g.Initializers, branch.Initializers...)
	for i, old := range n.Outputs {
		if old == nil {
			continue
		}
		same := graph.NewNode("Identity", []*graph.Value{branch.Outputs[i]}, []*graph.Value{old})
		same.Name = fmt.Sprintf("%s/%d", n.Name, i)
		nodes = append(nodes, same)
	}
	return nodes
}

// valuesByName counts the values of each name: graphs beside one another may use the same.
func valuesByName(m *graph.Model) map[string]int {
	names := map[string]int{}
	count := func(list []*graph.Value) {
		for _, v := range list {
			if v != nil {
				names[v.Name]++
			}
		}
	}
	m.Graph.WalkGraphs(func(g *graph.Graph) {
		count(g.Inputs)
		count(g.Initializers)
	})
	m.Graph.Walk(func(n *graph.Node) { count(n.Outputs) })
	return names
}
