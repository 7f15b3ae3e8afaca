package pass

import (
	"slices"

	"graft/graph"
)

// Dead removes nodes whose outputs nothing reads, initializers that nothing reads, functions
// that nothing calls, and the stated types of values that are gone. Nodes of subgraphs count as
// readers, and are removed alike. Inputs and outputs stay.
var Dead = Pass{"dead", "remove nodes, weights and functions that nothing reads", removeDead}

func removeDead(m *graph.Model) (bool, error) {
	l := &liveness{needed: map[*graph.Value]bool{}}
	l.graph(m.Graph)
	if n := len(m.Functions); n > 0 {
		called := calledFunctions(m)
		m.Functions = slices.DeleteFunc(m.Functions, func(f *graph.Function) bool { return !called[f] })
		l.changed = l.changed || len(m.Functions) < n
	}
	return l.changed, nil
}

// liveness marks the values that are read on the way to an output.
type liveness struct {
	needed  map[*graph.Value]bool
	changed bool
}

// graph goes through g from its end, so that each node's readers are known before the node.
func (l *liveness) graph(g *graph.Graph) {
	for _, v := range g.Outputs {
		l.needed[v] = true
	}
	dead := map[*graph.Node]bool{}
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(v *graph.Value) bool { return v != nil && l.needed[v] }) {
			dead[n] = true
			continue
		}
		for _, v := range n.Inputs {
			l.needed[v] = true
		}
		subgraphs(n, l.graph)
	}
	g.Remove(func(n *graph.Node) bool { return dead[n] })
	kept := slices.DeleteFunc(slices.Clone(g.Initializers), func(v *graph.Value) bool {
		return !l.needed[v] && !slices.Contains(g.Inputs, v)
	})
	l.changed = l.changed || len(dead) > 0 || len(kept) < len(g.Initializers)
	g.Initializers = kept
	l.stated(g)
}

// stated drops the stated types of values that g no longer has.
func (l *liveness) stated(g *graph.Graph) {
	here := map[*graph.Value]bool{}
	for _, list := range [][]*graph.Value{g.Inputs, g.Outputs, g.Initializers} {
		for _, v := range list {
			here[v] = true
		}
	}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			here[v] = true
		}
	}
	g.ValueInfo = slices.DeleteFunc(g.ValueInfo, func(v *graph.Value) bool { return !here[v] })
}

// calledFunctions are the functions that the graph calls, and those that these call.
func calledFunctions(m *graph.Model) map[*graph.Function]bool {
	called := map[*graph.Function]bool{}
	var visit func(g *graph.Graph)
	visit = func(g *graph.Graph) {
		g.Walk(func(n *graph.Node) {
			if f := m.FunctionOf(n); f != nil && !called[f] {
				called[f] = true
				if f.Body != nil {
					visit(f.Body)
				}
			}
		})
	}
	visit(m.Graph)
	return called
}
