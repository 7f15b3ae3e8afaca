package pass

import (
	"slices"

	"graft/graph"
)

// Forward removes nodes that hand their input on unchanged: Identity, a Cast to the type that
// is there, a Transpose that moves nothing, a Slice that takes everything, and a Concat with nothing. Where such a
// node stands between a graph's input or weight and its output, it stays.
var Forward = Pass{"forward", "remove nodes that hand their input on unchanged", forward}

func forward(m *graph.Model) (bool, error) {
	if err := graph.Infer(m); err != nil {
		return false, err
	}
	isOutput := outputs(m.Graph)
	changed := false
	m.Graph.WalkGraphs(func(g *graph.Graph) {
		gone := map[*graph.Node]bool{}
		for _, n := range g.Nodes {
			if !handsOn(n) {
				continue
			}
			in, out := n.Inputs[0], n.Outputs[0]
			if isOutput[out] && (in.Def() == nil || isOutput[in] || !writes(g, in)) {
				continue
			}
			m.Graph.Replace(out, in)
			if isOutput[out] {
				isOutput[in] = true
			}
			gone[n] = true
		}
		g.Remove(func(n *graph.Node) bool { return gone[n] })
		changed = changed || len(gone) > 0
	})
	return changed, nil
}

// writes reports whether a node of g itself, not of a graph around it, writes v.
func writes(g *graph.Graph, v *graph.Value) bool {
	for _, n := range g.Nodes {
		if n == v.Def() {
			return true
		}
	}
	return false
}

// handsOn reports whether n's only used output is its first input.
func handsOn(n *graph.Node) bool {
	if len(n.Inputs) == 0 || n.Inputs[0] == nil || n.Output(0) == nil {
		return false
	}
	for _, v := range n.Outputs[1:] {
		if v != nil {
			return false
		}
	}
	in := n.Inputs[0]
	switch {
	case n.Is("Identity"):
		return true
	case n.Is("Cast"):
		return in.DType() != graph.Undefined && in.DType() == graph.DType(n.Int("to", 0))
	case n.Is("Transpose"):
		perm := n.Ints("perm")
		for i, p := range perm {
			if p != int64(i) {
				return false
			}
		}
		return perm != nil
	case n.Is("Slice"):
		step, ok := integers(n.Input(4))
		return sameShape(in, n.Outputs[0]) && (n.Input(4) == nil || ok && !slices.ContainsFunc(step, func(s int64) bool { return s != 1 }))
	case n.Is("Concat"):
		return sameShape(in, n.Outputs[0])
	}
	return false
}

// sameShape reports whether x and y are known to have the same shape.
func sameShape(x, y *graph.Value) bool {
	return x.Shape() != nil && slices.Equal(x.Shape(), y.Shape()) && !slices.Contains(x.Shape(), graph.AnyDim)
}
