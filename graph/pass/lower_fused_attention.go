package pass

import "graft/graph"

// fusedForm is an attention operator of ONNX Runtime: what it can say, and how it is written.
type fusedForm struct {
	says  func(l *lowerer, a *attention, s seenKeys) bool
	write func(l *lowerer, a *attention, s seenKeys) *graph.Value
}

// multiHead knows padding and causal order. Heads that share keys and values get copies of them.
var multiHead = fusedForm{
	says: func(_ *lowerer, a *attention, s seenKeys) bool {
		return a.softcap == 0 && s.before == anyDistance && (s.after == anyDistance || s.after == 0) &&
			(a.heads == a.kvHeads || axisSize(a.k, 2) > 0 && axisSize(a.v, 2) > 0)
	},
	write: (*lowerer).multiHead,
}

// ownKeys is multiHead where each query head has its own keys, so that nothing is copied.
var ownKeys = fusedForm{
	says: func(l *lowerer, a *attention, s seenKeys) bool {
		return a.heads == a.kvHeads && multiHead.says(l, a, s)
	},
	write: (*lowerer).multiHead,
}

// groupQuery knows causal order, windows, soft caps and heads that share keys and values, with
// padding on the right alone. Its CUDA kernels are of 16 bits.
var groupQuery = fusedForm{
	says: func(l *lowerer, a *attention, s seenKeys) bool {
		both := s.before == anyDistance && s.after == anyDistance && a.heads != a.kvHeads // else MultiHeadAttention says it
		return l.DType != graph.Float && a.size > 0 && a.size%8 == 0 && axisSize(a.k, 2) == axisSize(a.v, 2) && (both || s.after == 0)
	},
	write: (*lowerer).groupQuery,
}

// biasedGroupQuery is groupQuery with padding as a bias of the scores, the same for all heads, so that it may be on either
// side. The kernel caps scores and bias together, so it says no soft cap.
var biasedGroupQuery = fusedForm{
	says: func(_ *lowerer, a *attention, s seenKeys) bool {
		return s.after == 0 && a.softcap == 0 && a.size > 0 && a.size%8 == 0 && axisSize(a.k, 2) == axisSize(a.v, 2)
	},
	write: (*lowerer).biasedGroupQuery,
}

// fusedForms are what a target has kernels for, the best first. What the CPU provider takes for
// decoders is in docs/benchmarks.md: GroupQueryAttention skips the half of the products that causal
// order hides, MultiHeadAttention does not.
var fusedForms = map[Target][]fusedForm{
	CPU:  {biasedGroupQuery, ownKeys},
	CUDA: {groupQuery, multiHead},
}

// lowerFusedAttention writes attention of merged heads as the target's best operator that can say
// it, and in plain operators where none can.
func lowerFusedAttention(l *lowerer, n *graph.Node) (*graph.Value, error) {
	a, err := attentionOf(n)
	if err != nil || !a.merged || l.onlyFirst(n) != nil {
		return lowerAttention(l, n)
	}
	seen, ok := a.seen()
	if !ok {
		return lowerAttention(l, n)
	}
	for _, form := range fusedForms[l.Target] {
		if form.says(l, a, seen) {
			return form.write(l, a, seen), nil
		}
	}
	return lowerAttention(l, n)
}

func (l *lowerer) multiHead(a *attention, s seenKeys) *graph.Value {
	in := []*graph.Value{a.q, l.ownHeads(a, a.k), l.ownHeads(a, a.v)}
	if s.real != nil {
		in = append(in, nil, l.keyMask(s.real))
	}
	attrs := []graph.Attr{graph.IntAttr("num_heads", a.heads), graph.FloatAttr("scale", float32(a.scale)), graph.FloatAttr("mask_filter_value", maskedScore)}
	if s.after == 0 {
		attrs = append(attrs, graph.IntAttr("unidirectional", 1))
	}
	return l.contribOp("MultiHeadAttention", in, attrs...)
}

// ownHeads gives each query head its own copy of the head of x [batch, key, kvHeads·size] that it shares.
func (l *lowerer) ownHeads(a *attention, x *graph.Value) *graph.Value {
	if a.heads == a.kvHeads {
		return x
	}
	b, share, size := l.b, a.heads/a.kvHeads, axisSize(x, 2)/a.kvHeads
	x = b.Unsqueeze(l.splitHeads(x, a.kvHeads), 3) // [batch, key, kvHeads, 1, size]
	x = b.Op("Expand", []*graph.Value{x, b.Int64s(1, 1, 1, share, 1)})
	return b.Reshape(x, 0, 0, a.heads*size)
}

// groupQuery is GroupQueryAttention without a cache: all keys are those of the node.
func (l *lowerer) groupQuery(a *attention, s seenKeys) *graph.Value {
	in := []*graph.Value{a.q, a.k, a.v, nil, nil, l.lastKey(a, s.real), l.keyCount(a)}
	attrs := []graph.Attr{graph.IntAttr("num_heads", a.heads), graph.IntAttr("kv_num_heads", a.kvHeads), graph.FloatAttr("scale", float32(a.scale))}
	if a.softcap != 0 {
		attrs = append(attrs, graph.FloatAttr("softcap", float32(a.softcap)))
	}
	if s.before != anyDistance {
		attrs = append(attrs, graph.IntAttr("local_window_size", s.before+1)) // the query's own place counts
	}
	if s.after == anyDistance {
		attrs = append(attrs, graph.IntAttr("causal", 0)) // since onnxruntime 1.29
	}
	return l.contribOp("GroupQueryAttention", in, attrs...)
}

func (l *lowerer) biasedGroupQuery(a *attention, s seenKeys) *graph.Value {
	y := l.groupQuery(a, seenKeys{before: s.before, after: s.after})
	if s.real != nil {
		n := y.Def()
		n.Inputs = append(n.Inputs, nil, nil, nil, l.keyBias(a, s.real))
	}
	return y
}

// keyBias is what padding adds to scores, [batch, 1, query, key].
func (l *lowerer) keyBias(a *attention, real *graph.Value) *graph.Value {
	return l.once(sharedKey{what: "key bias", of: real, more: a.q.DType()}, func() *graph.Value {
		b := l.b
		if real.DType() != graph.Bool {
			real = b.Cast(real, graph.Bool)
		}
		bias := b.Unsqueeze(b.Where(real, l.scalar(a.q, 0), l.scalar(a.q, maskedScore)), 1, 2)
		one := b.Int64s(1)
		shape := b.Op("Concat", []*graph.Value{one, one, l.length(a.q, 1), one}, graph.IntAttr("axis", 0))
		return b.Op("Expand", []*graph.Value{bias, shape})
	})
}

// lastKey is the place of each text's last key, int32 [batch]; 0 for a text without any.
func (l *lowerer) lastKey(a *attention, real *graph.Value) *graph.Value {
	key := sharedKey{what: "last key", of: real}
	if real == nil {
		key.of = l.length(a.k, 1)
	}
	return l.once(key, func() *graph.Value {
		b := l.b
		if real == nil {
			last := b.Cast(b.Sub(key.of, b.Int64(1)), graph.Int32)
			return b.Op("Expand", []*graph.Value{last, l.length(a.q, 0)})
		}
		if real.DType() != graph.Int64 {
			real = b.Cast(real, graph.Int64)
		}
		last := b.Sub(b.ReduceSum(real, false, 1), b.Int64(1))
		return b.Cast(b.Op("Max", []*graph.Value{last, b.Int64(0)}), graph.Int32)
	})
}

// keyCount is the number of keys, an int32 scalar.
func (l *lowerer) keyCount(a *attention) *graph.Value {
	length := l.length(a.k, 1)
	return l.once(sharedKey{what: "key count", of: length}, func() *graph.Value {
		return l.b.Cast(l.b.Squeeze(length, 0), graph.Int32)
	})
}
