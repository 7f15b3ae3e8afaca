package pass

import "graft/graph"

// contribFusedMatMul: alpha · a·b, either with its last two axes swapped before. ONNX Runtime's optimizer writes the products of queries and keys so.
func contribFusedMatMul(r *raiser, n *graph.Node) []*graph.Value {
	in := []*graph.Value{n.Input(0), n.Input(1)}
	for i, attr := range []string{"transA", "transB"} {
		swapped := n.Int(attr, 0) != 0
		if n.Int([]string{"transBatchA", "transBatchB"}[i], 0) != 0 || swapped && len(in[i].Shape()) < 2 {
			return nil
		}
		if swapped {
			in[i] = r.swapLast(in[i])
		}
	}
	y := r.b.MatMul(in[0], in[1])
	if alpha := n.Float("alpha", 1); alpha != 1 {
		y = r.b.Mul(y, r.scalar(in[0], float64(alpha)))
	}
	return []*graph.Value{y}
}

// swapLast is v with its last two axes swapped.
func (r *raiser) swapLast(v *graph.Value) *graph.Value {
	perm := make([]int64, len(v.Shape()))
	for i := range perm {
		perm[i] = int64(i)
	}
	last := len(perm) - 1
	perm[last-1], perm[last] = perm[last], perm[last-1]
	return r.b.Transpose(v, perm...)
}
