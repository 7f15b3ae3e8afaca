package pass

import "graft/graph"

// lowerConstantKeys is attention to keys and values that are the same for every text, as those of
// learned latents are, with all matrices transposed: vᵀ · softmax(k · (q·scale)ᵀ), the softmax over
// columns. As the second factors of their products, constants of several heads are packed by OpenVINO's CPU
// plugin as if each head filled whole blocks, and the vectors are wrong where it does not (openvino
// pull request 34201; 2025.4 lacks it). As the first factors they are not packed.
func (l *lowerer) lowerConstantKeys(a *attention) *graph.Value {
	b := l.b
	q, k, v := l.keysLast(a, a.q, a.heads), l.headsFirst(a, a.k, a.heads), l.keysLast(a, a.v, a.heads)
	if a.scale != 1 {
		q = b.Mul(q, l.scalar(a.q, a.scale))
	}
	weights := b.Op("Softmax", []*graph.Value{b.MatMul(k, q)}, graph.IntAttr("axis", -2))
	y := b.MatMul(v, weights) // [batch, heads, size, seq]
	if a.merged {
		return b.Reshape(b.Transpose(y, 0, 3, 1, 2), 0, 0, a.width())
	}
	return b.Transpose(y, 0, 1, 3, 2)
}

// constantKeys reports whether a's keys and values are constant, and nothing is done to the scores.
func (a *attention) constantKeys() bool {
	return a.mask == nil && a.softcap == 0 && !a.causal && a.heads == a.kvHeads && constant(a.k) && constant(a.v)
}

// constant reports whether v is computed from weights alone.
func constant(v *graph.Value) bool {
	n := v.Def()
	if n == nil {
		return v.Init != nil
	}
	for _, in := range n.Inputs {
		if in != nil && !constant(in) {
			return false
		}
	}
	return len(n.Inputs) > 0 || n.Is("Constant")
}
