package pass

import (
	"slices"

	"graft/graph"
)

// This file makes bool masks out of masks that are added to attention scores: 0 where a key is
// seen and a large negative number where it is not. What exporters write for one is
//
//	(1 − float(mask)) · −10000, or −3.4028235e38                       (BertModel of transformers)
//	where(bool(1 − float(mask)), −3.4028235e38, 1 − float(mask))       (_expand_mask)
//	where(allowed, 0, −inf)                                            (scaled_dot_product_attention)
//
// with Unsqueeze, Expand, Slice and their like in between, sums of two such masks, and
// triangles by Trilu for causal order.

// least is the largest number that masks: BERT's −10000.
const least = -9999

// isMasked reports whether v is a number, or a tensor filled with one, that masks.
func isMasked(v *graph.Value) bool {
	f, ok := filled(v)
	return ok && f <= least
}

// filled is the number that all elements of v are.
func filled(v *graph.Value) (float64, bool) {
	if n := writer(v); n.Is("Expand") {
		return filled(n.Input(0))
	} else if n.Is("ConstantOfShape") {
		return fill(n)
	}
	return number(v)
}

// fill is what a ConstantOfShape writes into all elements.
func fill(n *graph.Node) (float64, bool) {
	if a := n.Attr("value"); a != nil && a.Tensor != nil {
		return tensorNumber(a.Tensor)
	}
	return 0, true
}

// isZero reports whether v is 0, or a tensor of zeros.
func isZero(v *graph.Value) bool {
	f, ok := filled(v)
	return ok && f == 0
}

// maker builds a bool value that was found possible to build.
type maker func() *graph.Value

// movement are the operators that move elements of their first input and change none.
var movement = []string{"Unsqueeze", "Squeeze", "Reshape", "Expand", "Slice", "Transpose", "Gather", "Tile"}

// mostMaskNodes bounds how far up a mask is followed, mostMaskSteps how many nodes are looked
// at on the way: paths that part and join again are taken once for each way.
const (
	mostMaskNodes = 24
	mostMaskSteps = 4096
)

// far reports whether a mask has been followed far enough.
func (r *raiser) far(depth int) bool {
	r.maskSteps++
	return depth > mostMaskNodes || r.maskSteps > mostMaskSteps
}

// attend makes, from an additive mask, the bool mask of keys that are seen; nil where v is
// not made of 0 and numbers that mask.
func (r *raiser) attend(v *graph.Value, depth int) maker {
	v = floatSource(v)
	if v == nil || r.far(depth) {
		return nil
	}
	if t := v.Const(); t != nil {
		return r.attendConstant(t)
	}
	n := v.Def()
	switch {
	case n == nil:
		return nil
	case n.Is("Mul"):
		return r.attendProduct(n, depth)
	case n.Is("Where"):
		return r.attendWhere(n, depth)
	case n.Is("Add"):
		a, b := r.attend(n.Input(0), depth+1), r.attend(n.Input(1), depth+1)
		if a == nil || b == nil {
			return nil
		}
		return func() *graph.Value { return r.and(a(), b()) }
	case n.Is("Trilu") && isMasked(n.Input(0)):
		return func() *graph.Value { // a triangle of zeros, the rest masks, or the other way round
			return r.b.Op("Greater", []*graph.Value{v, r.b.Scalar(-1)})
		}
	}
	return r.moved(n, r.attend, depth)
}

// moved applies n, which moves elements, to the bool value that f finds for its input.
func (r *raiser) moved(n *graph.Node, f func(*graph.Value, int) maker, depth int) maker {
	if !n.Is(n.Op) || !slices.Contains(movement, n.Op) {
		return nil
	}
	inner := f(n.Input(0), depth+1)
	if inner == nil {
		return nil
	}
	return func() *graph.Value {
		in := slices.Clone(n.Inputs)
		in[0] = inner()
		return r.b.Op(n.Op, in, n.Attrs...)
	}
}

// attendConstant: a table of 0 and numbers that mask, such as a causal triangle.
func (r *raiser) attendConstant(t *graph.Tensor) maker {
	if !t.DType.IsFloat() || t.Len() > maxConstant || t.Len() < 2 {
		return nil
	}
	data, err := t.Float32s()
	if err != nil || slices.ContainsFunc(data, func(f float32) bool { return f != 0 && !(f <= least) }) {
		return nil
	}
	return func() *graph.Value {
		see := make([]bool, len(data))
		for i, f := range data {
			see[i] = f == 0
		}
		return r.b.Const(graph.NewTensor("mask", see, t.Shape...))
	}
}

// attendProduct: hidden · −large, hidden being 0 or 1, or mask · bool.
func (r *raiser) attendProduct(n *graph.Node, depth int) maker {
	for i := range 2 {
		x, y := n.Input(i), n.Input(1-i)
		if isMasked(y) {
			if hidden := r.hidden(x, depth+1); hidden != nil {
				return func() *graph.Value { return r.not(hidden()) }
			}
		}
		where := r.flag(y, depth+1)
		if where == nil {
			continue
		}
		if mask := r.attend(x, depth+1); mask != nil {
			return func() *graph.Value { return r.b.Op("Or", []*graph.Value{mask(), r.not(where())}) }
		}
	}
	return nil
}

// attendWhere: Where(see, mask, −large) or Where(hidden, −large, mask), where the mask may be 0.
func (r *raiser) attendWhere(n *graph.Node, depth int) maker {
	cond := n.Input(0)
	for i, negated := range []bool{false, true} {
		if !isMasked(n.Input(2 - i)) {
			continue
		}
		rest := r.attendRest(cond, n.Input(1+i), depth)
		if rest == nil {
			return nil
		}
		return func() *graph.Value {
			see := cond
			if negated {
				see = r.not(cond)
			}
			return r.and(see, rest())
		}
	}
	return nil
}

// attendRest is what is seen of mask where cond does not hide it already.
func (r *raiser) attendRest(cond, mask *graph.Value, depth int) maker {
	everything := func() *graph.Value { return nil }
	if isZero(mask) {
		return everything
	}
	// masked_fill(x, bool(x), −large): where the condition does not hold, x is 0.
	if n := writer(cond); n.Is("Cast") && source(n.Input(0)) == source(mask) {
		return everything
	}
	return r.attend(mask, depth+1)
}

// hidden makes a bool value from a number that is 1 where a key is hidden and 0 where it is seen.
func (r *raiser) hidden(v *graph.Value, depth int) maker {
	n := writer(v)
	if r.far(depth) || n == nil {
		return nil
	}
	if f, ok := filled(n.Input(0)); n.Is("Sub") && ok && f == 1 {
		seen := r.flag(n.Input(1), depth+1)
		if seen == nil {
			return nil
		}
		return func() *graph.Value { return r.not(seen()) }
	}
	if n.Is("Cast") && n.Input(0).DType() == graph.Bool {
		return func() *graph.Value { return n.Input(0) }
	}
	return r.moved(n, r.hidden, depth)
}

// flag makes a bool value from a number that is 1 or 0.
func (r *raiser) flag(v *graph.Value, depth int) maker {
	v = source(v)
	if v == nil || r.far(depth) {
		return nil
	}
	n := v.Def()
	switch {
	case v.DType() == graph.Bool:
		return func() *graph.Value { return v }
	case n == nil && v.Init == nil, n.Is("Cast") && !n.Input(0).DType().IsFloat():
		from := v // the mask of the tokenizer, given as numbers
		if n != nil {
			from = source(n.Input(0))
		}
		return func() *graph.Value { return r.bool(from) }
	case n.Is("Cast"):
		return r.flag(n.Input(0), depth+1)
	case n.Is("Mul"):
		a, b := r.flag(n.Input(0), depth+1), r.flag(n.Input(1), depth+1)
		if a == nil || b == nil {
			return nil
		}
		return func() *graph.Value { return r.and(a(), b()) }
	case n == nil:
		return nil
	}
	return r.moved(n, r.flag, depth)
}

// raiseMask makes the mask of an Attention bool. A mask that also holds finite biases stays a
// number, but hides by one that is safe in every precision.
func raiseMask(r *raiser, n *graph.Node) []*graph.Value {
	mask := n.Input(3)
	if !n.Is("Attention") || mask == nil || mask.DType() == graph.Bool {
		return nil
	}
	made := r.once(sharedKey{what: "raised mask", of: source(mask)}, func() *graph.Value {
		r.maskSteps = 0
		if see := r.attend(mask, 0); see != nil {
			r.report.Raised["mask"]++
			return see()
		}
		return r.maskedBias(mask)
	})
	n.Inputs[3] = made
	return nil
}

// maskedBias: the sum of a bias and an additive mask is the bias where the mask is 0.
func (r *raiser) maskedBias(mask *graph.Value) *graph.Value {
	if n := writer(mask); n.Is("Add") {
		for i := range 2 {
			if see := r.attend(n.Input(i), 0); see != nil {
				return r.b.Where(see(), n.Input(1-i), r.scalar(mask, maskedScore))
			}
		}
	}
	if !hidesByNumber(mask) {
		return mask
	}
	return r.b.Op("Max", []*graph.Value{mask, r.scalar(mask, maskedScore)})
}

// hidesByNumber reports whether v, a mask of numbers, is made from one that masks, other than
// maskedScore.
func hidesByNumber(v *graph.Value) bool {
	seen := make(map[*graph.Value]bool)
	var follow func(v *graph.Value, depth int) bool
	follow = func(v *graph.Value, depth int) bool {
		v = source(v)
		if v == nil || seen[v] || v.DType() == graph.Bool || depth > mostMaskNodes {
			return false
		}
		seen[v] = true
		if t := v.Const(); t != nil && t.DType.IsFloat() && t.Len() <= maxConstant {
			data, err := t.Float32s()
			return err == nil && slices.ContainsFunc(data, func(f float32) bool { return f <= least && f != maskedScore })
		}
		return v.Def() != nil && slices.ContainsFunc(v.Def().Inputs, func(in *graph.Value) bool { return follow(in, depth+1) })
	}
	return follow(v, 0)
}

// bool is v ≠ 0, and, or, not and sum their operands, each made once and nil where nothing is.

func (r *raiser) bool(v *graph.Value) *graph.Value {
	if v.DType() == graph.Bool {
		return v
	}
	return r.once(sharedKey{what: "bool", of: v}, func() *graph.Value { return r.b.Cast(v, graph.Bool) })
}

func (r *raiser) not(v *graph.Value) *graph.Value {
	if n := writer(v); n.Is("Not") {
		return n.Input(0)
	}
	return r.once(sharedKey{what: "not", of: v}, func() *graph.Value { return r.b.Op("Not", []*graph.Value{v}) })
}

func (r *raiser) and(x, y *graph.Value) *graph.Value { return r.both("And", x, y) }
func (r *raiser) sum(x, y *graph.Value) *graph.Value { return r.both("Add", x, y) }

func (r *raiser) both(op string, x, y *graph.Value) *graph.Value {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return r.once(sharedKey{what: op, of: x, more: y}, func() *graph.Value { return r.b.Op(op, []*graph.Value{x, y}) })
}
