package pass

import "graft/graph"

// raiseSplit makes slices of a Split of features, as those of a gated feed-forward network, so that they are cut in one way.
func raiseSplit(r *raiser, n *graph.Node) []*graph.Value {
	if !n.Is("Split") || len(n.Input(0).Shape()) != 3 || !lastAxis(n.Int("axis", 0), n.Input(0)) {
		return nil
	}
	parts, start := make([]*graph.Value, len(n.Outputs)), int64(0)
	for _, v := range n.Outputs {
		if axisSize(v, 2) < 0 {
			return nil
		}
	}
	for i, v := range n.Outputs {
		end := start + axisSize(v, 2)
		parts[i] = r.b.Slice(n.Input(0), -1, start, end)
		start = end
	}
	return parts
}
