package pass

import "graft/graph"

// seenKeys is a bool mask of a kind that fused kernels know: which keys a query sees.
type seenKeys struct {
	real   *graph.Value // [batch, key], bool or of 0 and 1: the keys that are tokens; nil: all
	before int64        // most places that a key stands before its query; anyDistance: there is no bound
	after  int64        // most places that it stands behind it
}

const anyDistance = -1

// seen takes a's mask and its causal order apart. ok is false for masks of other kinds. Masks that
// let each token attend to itself lose that: it changes rows of padding alone, which nothing reads.
func (a *attention) seen() (s seenKeys, ok bool) {
	s = seenKeys{before: anyDistance, after: anyDistance}
	if a.causal {
		s.after = 0
	}
	return s, a.mask == nil || a.mask.DType() == graph.Bool && s.narrow(a.mask)
}

// narrow takes the keys that mask hides out of s.
func (s *seenKeys) narrow(mask *graph.Value) bool {
	if keys, ok := paddingMask(mask); ok {
		if s.real != nil && s.real != keys {
			return false
		}
		s.real = keys
		return true
	}
	n := writer(mask)
	switch {
	case n.Is("And"):
		return s.narrow(n.Input(0)) && s.narrow(n.Input(1))
	case n.Is("Or"):
		for i := range 2 {
			if isSelf(n.Input(i)) {
				return s.narrow(n.Input(1 - i))
			}
		}
	case n.Is("LessOrEqual"), n.Is("GreaterOrEqual"):
		return s.bound(n)
	}
	return false
}

// bound takes in how far a key stands behind its query at most, or before it.
func (s *seenKeys) bound(n *graph.Node) bool {
	limit, ok := number(n.Input(1))
	if !ok || !isOffset(n.Input(0)) {
		return false
	}
	side, most := &s.after, int64(limit)
	if n.Is("GreaterOrEqual") {
		side, most = &s.before, -int64(limit)
	}
	if most < 0 { // the query's own place is hidden
		return false
	}
	if *side == anyDistance || most < *side {
		*side = most
	}
	return true
}

// isSelf: the key's place is the query's.
func isSelf(v *graph.Value) bool {
	n := writer(v)
	if !n.Is("Equal") {
		return false
	}
	f, ok := number(n.Input(1))
	return ok && f == 0 && isOffset(n.Input(0))
}

// isOffset: the key's place less the query's, [query, key].
func isOffset(v *graph.Value) bool {
	n := writer(v)
	if !n.Is("Sub") {
		return false
	}
	keys, queries := writer(n.Input(0)), writer(n.Input(1))
	if !keys.Is("Unsqueeze") || !queries.Is("Unsqueeze") || axisSize(keys.Outputs[0], 0) != 1 || axisSize(queries.Outputs[0], 1) != 1 {
		return false
	}
	places := source(keys.Input(0))
	count := writer(places)
	if places != source(queries.Input(0)) || !count.Is("Range") {
		return false
	}
	step, ok := number(count.Input(2))
	return ok && step == 1
}
