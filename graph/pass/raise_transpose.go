package pass

import (
	"slices"

	"graft/graph"
)

// raiseTranspose makes one Transpose of the last two axes out of the three nodes that torch's newer exporter writes for the keys of
// scaled_dot_product_attention: x, [batch, heads, seq, size], as [batch·heads, seq, size], transposed, and its axes again.
func raiseTranspose(r *raiser, n *graph.Node) []*graph.Value {
	if !n.Is("Reshape") {
		return nil
	}
	t := writer(n.Input(0))
	if !t.Is("Transpose") || !slices.Equal(t.Ints("perm"), []int64{0, 2, 1}) || !writer(t.Input(0)).Is("Reshape") {
		return nil
	}
	rows := source(t.Input(0))
	x := source(rows.Def().Input(0))
	from, to, between := x.Shape(), n.Outputs[0].Shape(), rows.Shape()
	if len(from) != 4 || len(to) != 4 || len(between) != 3 || slices.Contains(from, graph.AnyDim) {
		return nil
	}
	if to[0] != from[0] || to[1] != from[1] || to[2] != from[3] || to[3] != from[2] || !slices.Equal(between[1:], from[2:]) {
		return nil
	}
	return []*graph.Value{r.b.Transpose(x, 0, 1, 3, 2)}
}
