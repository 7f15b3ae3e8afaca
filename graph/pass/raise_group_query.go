package pass

import "graft/graph"

// biasInput of GroupQueryAttention is added to the scores.
const biasInput = 10

// contribGroupQuery: heads that share keys and values, padding on the right, causal order, a window
// and a soft cap. Caches, rotary positions inside, norms of heads and quantized keys are not known.
func contribGroupQuery(r *raiser, n *graph.Node) []*graph.Value {
	q, k, v := n.Input(0), n.Input(1), n.Input(2)
	if k == nil || v == nil || n.Input(5) == nil || n.Int("do_rotary", 0) != 0 || n.Int("smooth_softmax", 0) != 0 || r.onlyFirst(n) != nil {
		return nil
	}
	for i := 3; i < len(n.Inputs); i++ {
		if i != 5 && i != 6 && i != biasInput && n.Input(i) != nil {
			return nil
		}
	}
	var masked maker
	if bias := n.Input(biasInput); bias != nil {
		if e := writer(bias); e.Is("Expand") {
			bias = e.Input(0) // Attention broadcasts its mask
		}
		if masked = r.attend(bias, 0); masked == nil {
			return nil
		}
	}
	heads, kvHeads := n.Int("num_heads", 0), n.Int("kv_num_heads", 0)
	if len(q.Shape()) != 3 || len(k.Shape()) != 3 || heads <= 0 || kvHeads <= 0 {
		return nil
	}
	attrs := []graph.Attr{graph.IntAttr("q_num_heads", heads), graph.IntAttr("kv_num_heads", kvHeads)}
	for _, name := range []string{"scale", "softcap"} {
		if f := n.Float(name, 0); f != 0 {
			attrs = append(attrs, graph.FloatAttr(name, f))
		}
	}
	var see *graph.Value
	if !isLength(n.Input(5)) {
		see = r.keysUpTo(n.Input(5), k)
	}
	if masked != nil {
		see = r.and(see, r.once(sharedKey{what: "mask of a bias", of: n.Input(biasInput)}, masked))
	}
	if n.Int("causal", 1) != 0 {
		attrs = append(attrs, graph.IntAttr("is_causal", 1))
		if window := n.Int("local_window_size", -1); window > 0 {
			see = r.and(see, r.within(window, k))
		}
	}
	in := []*graph.Value{q, k, v}
	if see != nil {
		in = append(in, see)
	}
	return r.raised("Attention", r.b.Op("Attention", in, attrs...))
}

// isLength reports whether the last key of each text is that of a size, so that all keys are real.
func isLength(last *graph.Value) bool {
	n := writer(last)
	for n.Is("Expand") || n.Is("Cast") || n.Is("Sub") {
		n = writer(n.Input(0))
	}
	return n.Is("Shape")
}

// keysUpTo is true at the keys of each text up to its last, int32 [batch]: [batch, 1, 1, key].
func (r *raiser) keysUpTo(last, k *graph.Value) *graph.Value {
	return r.once(sharedKey{what: "keys up to", of: last}, func() *graph.Value {
		b := r.b
		real := b.Op("LessOrEqual", []*graph.Value{b.Unsqueeze(r.places(k), 0), b.Unsqueeze(b.Cast(last, graph.Int64), 1)})
		return b.Unsqueeze(real, 1, 2)
	})
}

// within is true where a key is one of the size keys up to the query's place: [query, key].
func (r *raiser) within(size int64, k *graph.Value) *graph.Value {
	return r.once(sharedKey{what: "window", of: r.places(k), more: size}, func() *graph.Value {
		b := r.b
		offset := b.Sub(b.Unsqueeze(r.places(k), 0), b.Unsqueeze(r.places(k), 1))
		return b.Op("GreaterOrEqual", []*graph.Value{offset, b.Int64(1 - size)})
	})
}

// places is 0, 1, … for the keys of k [batch, key, ...].
func (r *raiser) places(k *graph.Value) *graph.Value {
	key := sharedKey{what: "places"}
	if s := k.Shape()[1]; s.Symbol != "" {
		key.more = s.Symbol
	} else {
		key.of = k
	}
	return r.once(key, func() *graph.Value {
		return r.b.Op("Range", []*graph.Value{r.b.Int64(0), r.b.Squeeze(r.b.Size(k, 1), 0), r.b.Int64(1)})
	})
}
