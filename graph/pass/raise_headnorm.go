package pass

import (
	"slices"

	"graft/graph"
)

// raiseHeadNorm normalizes heads before their axes are swapped, not behind it as Gemma 3 does: it is the same, and the product that makes
// the heads comes to light.
func raiseHeadNorm(r *raiser, n *graph.Node) []*graph.Value {
	if !n.Is("RMSNormalization") && !n.Is("LayerNormalization") || len(n.Outputs) > 1 || !lastAxis(n.Int("axis", -1), n.Outputs[0]) {
		return nil
	}
	t := writer(n.Input(0))
	if !t.Is("Transpose") || !slices.Equal(t.Ints("perm"), []int64{0, 2, 1, 3}) {
		return nil
	}
	in := slices.Clone(n.Inputs)
	in[0] = t.Input(0)
	y := r.b.Op(n.Op, in, n.Attrs...)
	y.Type = t.Input(0).Type
	return []*graph.Value{r.b.Transpose(y, 0, 2, 1, 3)}
}
