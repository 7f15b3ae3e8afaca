package pass

import (
	"slices"

	"graft/graph"
)

// raiseConstantKeys matches what lowerConstantKeys writes: vᵀ · softmax(k · qᵀ) over columns,
// transposed, and its heads merged or not.
func raiseConstantKeys(r *raiser, n *graph.Node) []*graph.Value {
	merges := n.Is("Reshape") && len(n.Outputs[0].Shape()) == 3
	t, perm := n, []int64{0, 1, 3, 2}
	if merges {
		t, perm = writer(n.Input(0)), []int64{0, 3, 1, 2}
	}
	if !t.Is("Transpose") || !slices.Equal(t.Ints("perm"), perm) {
		return nil
	}
	m := matchTransposed(writer(source(t.Input(0))))
	switch {
	case m == nil:
		return nil
	case !merges && m.q.first != nil && m.v.first != nil:
		return r.attention(m, []*graph.Value{m.q.first, m.k.first, m.v.first})
	case !merges || axisSize(n.Outputs[0], 2) != m.q.heads*m.v.size || m.k.split == nil || m.q.split == nil || m.v.split == nil:
		return nil
	}
	return r.attention(m, []*graph.Value{r.merged(m.q), r.merged(m.k), r.merged(m.v)},
		graph.IntAttr("q_num_heads", m.q.heads), graph.IntAttr("kv_num_heads", m.k.heads))
}

// matchTransposed matches n, the product of values and attention weights, all transposed.
func matchTransposed(n *graph.Node) *matchedAttention {
	if !n.Is("MatMul") {
		return nil
	}
	softmax := weightsOf(n.Input(1), -2)
	if softmax == nil {
		return nil
	}
	product := writer(floatSource(softmax.Input(0)))
	if !product.Is("MatMul") || len(product.Outputs[0].Shape()) != 4 {
		return nil
	}
	m := &matchedAttention{scores: &scores{product: product}}
	var ok [3]bool
	m.q, m.scale, ok[0] = keysOf(product.Input(1))
	m.k, ok[1] = headsOf(floatSource(product.Input(0)))
	var factor float64
	m.v, factor, ok[2] = keysOf(n.Input(0))
	if !ok[0] || !ok[1] || !ok[2] || factor != 1 || m.q.heads != m.k.heads || m.k.heads != m.v.heads || m.q.size != m.k.size {
		return nil
	}
	return m
}
