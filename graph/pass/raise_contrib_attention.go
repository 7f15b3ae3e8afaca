package pass

import (
	"graft/graph"
)

// contribAttention: x·W + b holds queries, keys and values side by side.
func contribAttention(r *raiser, n *graph.Node) []*graph.Value {
	if n.Input(4) != nil || r.onlyFirst(n) != nil || n.Int("do_rotary", 0) != 0 {
		return nil
	}
	b := r.b
	width := axisSize(n.Input(1), 1)
	sizes := n.Ints("qkv_hidden_sizes")
	if len(sizes) != 3 {
		if width <= 0 || width%3 != 0 {
			return nil
		}
		sizes = []int64{width / 3, width / 3, width / 3}
	}
	x := r.sum(b.MatMul(n.Input(0), n.Input(1)), n.Input(2))
	parts := b.OpN("", "Split", 3, []*graph.Value{x, b.Int64s(sizes...)}, graph.IntAttr("axis", -1))
	return r.contribHeads(n, parts, n.Input(3), n.Input(5))
}

// contribMultiHead: queries, keys and values apart, with one bias for the three.
func contribMultiHead(r *raiser, n *graph.Node) []*graph.Value {
	for i := 6; i < len(n.Inputs); i++ { // caches
		if n.Input(i) != nil {
			return nil
		}
	}
	q, k, v := n.Input(0), n.Input(1), n.Input(2)
	if k == nil || v == nil || len(q.Shape()) != 3 || len(k.Shape()) != 3 || len(v.Shape()) != 3 || r.onlyFirst(n) != nil {
		return nil
	}
	b, parts := r.b, []*graph.Value{q, k, v}
	if bias := n.Input(3); bias != nil {
		sizes := []int64{axisSize(q, 2), axisSize(k, 2), axisSize(v, 2)}
		biases := b.OpN("", "Split", 3, []*graph.Value{bias, b.Int64s(sizes...)}, graph.IntAttr("axis", 0))
		for i := range parts {
			if sizes[i] <= 0 {
				return nil
			}
			parts[i] = b.Add(parts[i], biases[i])
		}
	}
	return r.contribHeads(n, parts, n.Input(4), n.Input(5))
}

// contribHeads appends Attention of q, k and v with the mask and the bias of n.
func (r *raiser) contribHeads(n *graph.Node, qkv []*graph.Value, mask, bias *graph.Value) []*graph.Value {
	heads := n.Int("num_heads", 0)
	if heads <= 0 {
		return nil
	}
	see, ok := r.contribMask(mask, n.Input(0), qkv[1])
	if !ok {
		return nil
	}
	in := qkv
	switch {
	case see != nil && bias != nil:
		in = append(in, r.b.Where(see, bias, r.scalar(bias, maskedScore)))
	case see != nil:
		in = append(in, see)
	case bias != nil:
		in = append(in, bias)
	}
	attrs := []graph.Attr{graph.IntAttr("q_num_heads", heads), graph.IntAttr("kv_num_heads", heads)}
	if scale := n.Float("scale", 0); scale != 0 {
		attrs = append(attrs, graph.FloatAttr("scale", scale))
	}
	if n.Int("unidirectional", 0) != 0 {
		attrs = append(attrs, graph.IntAttr("is_causal", 1))
	}
	return r.raised("Attention", r.b.Op("Attention", in, attrs...))
}

// contribMask makes a bool mask of one of com.microsoft's: [batch] lengths of texts padded on the
// right, [batch, seq] or [batch, query, key] of 0 and 1. ok is false for its other forms. x is the
// node's first input, [batch, ...].
func (r *raiser) contribMask(mask, x, k *graph.Value) (see *graph.Value, ok bool) {
	if mask == nil {
		return nil, true
	}
	switch len(mask.Shape()) {
	case 1:
		if len(x.Shape()) == 0 || mask.Shape()[0] != x.Shape()[0] {
			return nil, false // starts and ends, one after the other
		}
		return r.once(sharedKey{what: "mask of lengths", of: mask}, func() *graph.Value {
			b := r.b
			place := b.Op("Range", []*graph.Value{b.Int64(0), b.Squeeze(b.Size(k, 1), 0), b.Int64(1)})
			return b.Op("Less", []*graph.Value{place, b.Unsqueeze(b.Cast(mask, graph.Int64), 1, 2, 3)})
		}), true
	case 2:
		return r.once(sharedKey{what: "mask of tokens", of: mask}, func() *graph.Value {
			return r.b.Unsqueeze(r.bool(mask), 1, 2)
		}), true
	case 3:
		return r.once(sharedKey{what: "mask of pairs", of: mask}, func() *graph.Value {
			return r.b.Unsqueeze(r.bool(mask), 1)
		}), true
	}
	return nil, false
}
