package pass

import "graft/graph"

// widen makes a graph of 16 or 64 bits one of float32, in which it is looked into, measured and rewritten: the CPU provider computes little in
// bfloat16 and in double. Weights are converted as they are read; what is written in 16 bits again is Lower's to say.
func widen(m *graph.Model) error {
	for _, v := range m.Graph.Inputs {
		if isOtherFloat(v.DType()) {
			return nil // given by a caller in this type
		}
	}
	changed := false
	m.Graph.WalkGraphs(func(g *graph.Graph) {
		for _, v := range g.Initializers {
			if isOtherFloat(v.Init.DType) {
				v.Init, changed = graph.Convert(v.Init, graph.Float), true
				v.Type = v.Init.Type()
			}
		}
		for _, n := range g.Nodes {
			changed = widenNode(n) || changed
		}
	})
	if !changed {
		return nil
	}
	return repeat(m, Forward)
}

// widenNode makes n write float32 where it says what it writes.
func widenNode(n *graph.Node) (changed bool) {
	if to := n.Attr("to"); n.Is("Cast") && to != nil && isOtherFloat(graph.DType(to.Int)) {
		n.SetAttr(graph.IntAttr("to", int64(graph.Float)))
		changed = true
	}
	if a := n.Attr("value"); a != nil && a.Tensor != nil && isOtherFloat(a.Tensor.DType) {
		n.SetAttr(graph.TensorAttr("value", graph.Convert(a.Tensor, graph.Float)))
		changed = true
	}
	for _, v := range n.Outputs {
		if v != nil && isOtherFloat(v.DType()) {
			v.Type = graph.TensorType(graph.Float, v.Shape()...)
			changed = true
		}
	}
	return changed
}

func isOtherFloat(d graph.DType) bool {
	return d == graph.Float16 || d == graph.BFloat16 || d == graph.Double
}
