package pass

import (
	"math"
	"slices"

	"graft/graph"
)

// scores is what attention weights are the softmax of:
//
//	softmax(scale · q · kᵀ [+ bias | where(see, ., −large)])
type scores struct {
	product *graph.Node // the MatMul of q and kᵀ
	scale   float64
	softcap float64
	see     []condition    // keys that are seen, by Where
	bias    []*graph.Value // what is added
}

// condition is a bool value, or its negation.
type condition struct {
	value   *graph.Value
	negated bool
}

// floatSource is v behind what does not change it and behind casts between floats, which
// exporters of 16-bit models put around the softmax.
func floatSource(v *graph.Value) *graph.Value {
	for {
		v = source(v)
		if v == nil || !v.Def().Is("Cast") || !v.DType().IsFloat() || !v.Def().Input(0).DType().IsFloat() {
			return v
		}
		v = v.Def().Input(0)
	}
}

// weightsOf is the Softmax over the axis, counted from the end, that v is the result of, behind the guard
// against rows of NaN that torch's scaled_dot_product_attention exports: Where(IsNaN(w), 0, w).
func weightsOf(v *graph.Value, axis int64) *graph.Node {
	v = floatSource(v)
	if v != nil && v.Def().Is("Where") && writer(v.Def().Input(0)).Is("IsNaN") {
		v = floatSource(v.Def().Input(2))
	}
	if v == nil || !v.Def().Is("Softmax") {
		return nil
	}
	n := v.Def()
	if is := n.Int("axis", -1); is != axis && is != int64(len(v.Shape()))+axis {
		return nil
	}
	return n
}

// scoresOf walks from the input of the softmax up to the product of queries and keys.
func scoresOf(v *graph.Value) *scores {
	s := &scores{scale: 1}
	if !s.walk(v, 0) {
		return nil
	}
	return s
}

// mostScoreNodes bounds the walk from the softmax to the product.
const mostScoreNodes = 8

func (s *scores) walk(v *graph.Value, depth int) bool {
	v = floatSource(v)
	if v == nil || v.Def() == nil || depth > mostScoreNodes {
		return false
	}
	n := v.Def()
	switch {
	case n.Is("MatMul"):
		s.product = n
		return len(v.Shape()) == 4
	case n.Is("Reshape"):
		x, ok := ungroupedRows(v)
		return ok && s.walk(x, depth+1)
	case n.Is("Add"):
		for i := range 2 {
			before := *s
			if s.walk(n.Input(i), depth+1) {
				s.bias = append(s.bias, n.Input(1-i))
				return true
			}
			*s = before
		}
		return false
	case n.Is("Where"):
		return s.walkWhere(n, depth)
	}
	return s.walkScale(n, depth)
}

// walkWhere: Where(see, scores, −large) or Where(hidden, −large, scores).
func (s *scores) walkWhere(n *graph.Node, depth int) bool {
	for i, negated := range []bool{false, true} {
		if isMasked(n.Input(2 - i)) {
			s.see = append(s.see, condition{n.Input(0), negated})
			return s.walk(n.Input(1+i), depth+1)
		}
	}
	return false
}

// walkScale: a constant factor, or softcap · tanh(scores / softcap), where nothing but the
// product is inside.
func (s *scores) walkScale(n *graph.Node, depth int) bool {
	inside, factor, ok := constantFactor(n)
	if !ok {
		return false
	}
	in := scores{scale: 1}
	if tanh := writer(floatSource(inside)); tanh.Is("Tanh") {
		if !in.walk(tanh.Input(0), depth+1) || len(in.see)+len(in.bias) > 0 || in.softcap != 0 {
			return false
		}
		s.product, s.scale, s.softcap = in.product, in.scale*factor, factor
		return true
	}
	if !in.walk(inside, depth+1) || len(in.see)+len(in.bias) > 0 || in.softcap != 0 {
		return false
	}
	s.product, s.scale = in.product, in.scale*factor
	return true
}

// constantFactor takes n apart into a value and the constant that it is multiplied by.
func constantFactor(n *graph.Node) (x *graph.Value, factor float64, ok bool) {
	switch {
	case n.Is("Mul"):
		for i := range 2 {
			if f, ok := number(n.Input(i)); ok {
				return n.Input(1 - i), f, true
			}
		}
	case n.Is("Div"):
		if f, ok := number(n.Input(1)); ok && f != 0 {
			return n.Input(0), 1 / f, true
		}
	}
	return nil, 0, false
}

// unscaled strips constant factors off v.
func unscaled(v *graph.Value) (x *graph.Value, factor float64) {
	factor = 1
	for {
		v = floatSource(v)
		if v == nil || v.Def() == nil {
			return v, factor
		}
		in, f, ok := constantFactor(v.Def())
		if !ok {
			return v, factor
		}
		v, factor = in, factor*f
	}
}

// headed is a query, key or value: [batch, heads, seq, size].
type headed struct {
	first *graph.Value // that value itself; nil where it is only there with its last two axes swapped
	split *graph.Value // [batch, seq, heads, size], of which first is a transpose; nil where it is not
	heads int64
	size  int64
}

// headsOf reads v, [batch, heads, seq, size].
func headsOf(v *graph.Value) (headed, bool) {
	v = source(v)
	h := headed{first: v, heads: axisSize(v, 1), size: axisSize(v, 3)}
	if n := writer(v); n.Is("Transpose") && slices.Equal(n.Ints("perm"), []int64{0, 2, 1, 3}) {
		h.split = source(n.Input(0))
	}
	return h, len(v.Shape()) == 4 && h.heads > 0 && h.size > 0
}

// keysOf reads v, [batch, heads, size, seq].
func keysOf(v *graph.Value) (h headed, factor float64, ok bool) {
	v, before := unscaled(v)
	n := writer(v)
	if !n.Is("Transpose") || len(v.Shape()) != 4 {
		return h, 0, false
	}
	switch perm := n.Ints("perm"); {
	case slices.Equal(perm, []int64{0, 1, 3, 2}):
		x, after := unscaled(n.Input(0))
		h, ok = headsOf(x)
		return h, before * after, ok
	case slices.Equal(perm, []int64{0, 2, 3, 1}):
		h = headed{split: source(n.Input(0)), heads: axisSize(v, 1), size: axisSize(v, 2)}
		return h, before, h.heads > 0 && h.size > 0
	}
	return h, 0, false
}

// ungrouped undoes the repetition of key and value heads for grouped queries: Unsqueeze,
// Expand, Reshape (repeat_kv of transformers).
func ungrouped(h headed) headed {
	if h.first == nil || !h.first.Def().Is("Reshape") {
		return h
	}
	expand := writer(h.first.Def().Input(0))
	if !expand.Is("Expand") {
		return h
	}
	one := source(expand.Input(0))
	if shape := one.Shape(); len(shape) != 5 || shape[2].Size != 1 || !one.Def().Is("Unsqueeze") && !one.Def().Is("Reshape") {
		return h
	}
	if k, ok := headsOf(one.Def().Input(0)); ok && k.size == h.size && h.heads%k.heads == 0 {
		return k
	}
	return h
}

// merged is h as [batch, seq, heads·size], nil where it is not laid out so.
func (r *raiser) merged(h headed) *graph.Value {
	if h.split == nil {
		return nil
	}
	if n := h.split.Def(); n.Is("Reshape") && axisSize(n.Input(0), 2) == h.heads*h.size && len(n.Input(0).Shape()) == 3 {
		return source(n.Input(0))
	}
	return r.once(sharedKey{what: "merged", of: h.split}, func() *graph.Value {
		return r.b.Reshape(h.split, 0, 0, h.heads*h.size)
	})
}

// ungroupedRows undoes the form in which Lower writes grouped queries: the rows of several heads
// of x, [batch, heads, seq, n], as the rows of one.
func ungroupedRows(v *graph.Value) (x *graph.Value, ok bool) {
	n := writer(v)
	if !n.Is("Reshape") || len(v.Shape()) != 4 {
		return v, false
	}
	x = floatSource(n.Input(0))
	to, from := v.Shape(), x.Shape()
	if len(from) != 4 || to[0] != from[0] || to[3] != from[3] || !to[1].Known() || !from[1].Known() {
		return v, false
	}
	return x, true
}

// matchedAttention is the product of weights and values, matched.
type matchedAttention struct {
	*scores
	q, k, v headed
}

// matchAttention matches n, the product of attention weights and values.
func matchAttention(n *graph.Node) *matchedAttention {
	if !n.Is("MatMul") {
		return nil
	}
	weights, _ := ungroupedRows(floatSource(n.Input(0)))
	softmax := weightsOf(weights, -1)
	if softmax == nil {
		return nil
	}
	s := scoresOf(softmax.Input(0))
	if s == nil {
		return nil
	}
	m := &matchedAttention{scores: s}
	q, _ := ungroupedRows(floatSource(s.product.Input(0)))
	q, qFactor := unscaled(q)
	var kFactor float64
	var ok [3]bool
	m.q, ok[0] = headsOf(q)
	m.k, kFactor, ok[1] = keysOf(s.product.Input(1))
	m.v, ok[2] = headsOf(floatSource(n.Input(1)))
	if !ok[0] || !ok[1] || !ok[2] {
		return nil
	}
	m.k, m.v = ungrouped(m.k), ungrouped(m.v)
	if m.k.heads != m.v.heads || m.q.heads%m.k.heads != 0 || m.q.size != m.k.size {
		return nil
	}
	m.scale *= qFactor * kFactor
	return m
}

// raiseMergedAttention matches attention whose heads are merged afterwards: MatMul, Transpose,
// Reshape (BertSelfAttention of transformers and its many descendants).
func raiseMergedAttention(r *raiser, n *graph.Node) []*graph.Value {
	if !n.Is("Reshape") || len(n.Outputs[0].Shape()) != 3 {
		return nil
	}
	t := writer(n.Input(0))
	if !t.Is("Transpose") || !slices.Equal(t.Ints("perm"), []int64{0, 2, 1, 3}) {
		return nil
	}
	product, _ := ungroupedRows(source(t.Input(0)))
	m := matchAttention(writer(product))
	if m == nil || axisSize(n.Outputs[0], 2) != m.q.heads*m.v.size || m.k.split == nil || m.q.split == nil || m.v.split == nil {
		return nil
	}
	return r.attention(m, []*graph.Value{r.merged(m.q), r.merged(m.k), r.merged(m.v)},
		graph.IntAttr("q_num_heads", m.q.heads), graph.IntAttr("kv_num_heads", m.k.heads))
}

// raiseAttention matches attention whose heads stay apart.
func raiseAttention(r *raiser, n *graph.Node) []*graph.Value {
	m := matchAttention(n)
	if m == nil {
		return nil
	}
	k := m.k.first
	if k == nil {
		k = r.b.Transpose(m.k.split, 0, 2, 1, 3)
	}
	return r.attention(m, []*graph.Value{m.q.first, k, m.v.first})
}

// attention appends the node.
func (r *raiser) attention(m *matchedAttention, in []*graph.Value, attrs ...graph.Attr) []*graph.Value {
	if usual := 1 / math.Sqrt(float64(m.q.size)); math.Abs(m.scale-usual) > 1e-6*usual {
		attrs = append(attrs, graph.FloatAttr("scale", float32(m.scale)))
	}
	if m.softcap != 0 {
		attrs = append(attrs, graph.FloatAttr("softcap", float32(m.softcap)))
	}
	if mask := r.scoreMask(m.scores); mask != nil {
		in = append(in, mask)
	}
	r.report.Raised["Attention"]++
	return []*graph.Value{r.b.Op("Attention", in, attrs...)}
}

// scoreMask joins the conditions and the biases of s into one mask, once for all layers that
// mask alike; nil where there is neither.
func (r *raiser) scoreMask(s *scores) *graph.Value {
	var see, bias *graph.Value
	for _, c := range s.see {
		v := c.value
		if c.negated {
			v = r.not(v)
		}
		see = r.and(see, v)
	}
	for _, v := range s.bias {
		bias = r.sum(bias, v)
	}
	switch {
	case see == nil:
		return bias
	case bias == nil:
		return see
	}
	return r.once(sharedKey{what: "masked bias", of: see, more: bias}, func() *graph.Value {
		return r.b.Where(see, bias, r.scalar(bias, maskedScore))
	})
}
