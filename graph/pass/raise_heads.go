package pass

import (
	"slices"

	"graft/graph"
)

// raiseHeads gives an Attention that is in the file already, with its heads apart as torch's newer exporter writes it from opset 23
// on, queries, keys and values of merged heads.
func raiseHeads(r *raiser, n *graph.Node) []*graph.Value {
	if !n.Is("Reshape") || len(n.Outputs[0].Shape()) != 3 {
		return nil
	}
	t := writer(n.Input(0))
	if !t.Is("Transpose") || !slices.Equal(t.Ints("perm"), []int64{0, 2, 1, 3}) {
		return nil
	}
	a := writer(t.Input(0))
	if !a.Is("Attention") || len(a.Inputs) > 4 || slices.ContainsFunc(a.Outputs[1:], func(v *graph.Value) bool { return v != nil }) {
		return nil
	}
	in := slices.Clone(a.Inputs)
	var heads [3]int64
	for i := range heads {
		h, ok := headsOf(in[i])
		if !ok || h.split == nil {
			return nil
		}
		heads[i] = h.heads
		in[i] = r.merged(h)
	}
	if heads[1] != heads[2] {
		return nil
	}
	attrs := append(slices.Clone(a.Attrs), graph.IntAttr("q_num_heads", heads[0]), graph.IntAttr("kv_num_heads", heads[1]))
	return []*graph.Value{r.b.Op("Attention", in, attrs...)}
}
