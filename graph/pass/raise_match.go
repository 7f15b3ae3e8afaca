package pass

import (
	"math"

	"graft/graph"
)

// This file is the pattern matcher of Raise. A pattern describes the values of a formula from
// the result to its operands; matching walks up the graph from a value and binds the operands
// that the formula leaves open. Identity, casts to the same type and Dropout do not count.

// pattern reports whether v is what it describes, and binds slots in b. A pattern that fails
// may leave bindings behind; those who try several save b before.
type pattern func(v *graph.Value, b *bindings) bool

// slot names an operand that a pattern leaves open.
type slot int

const (
	xSlot    slot = iota // the input of the formula
	gainSlot             // what the normalized input is multiplied by
	biasSlot             // what is added last
	epsSlot              // the constant under the root
	cosSlot
	sinSlot
	slots
)

// bindings holds the operands found.
type bindings struct {
	value  [slots]*graph.Value
	number [slots]float64
}

// source is v behind the nodes that do not change it.
func source(v *graph.Value) *graph.Value {
	for v != nil && v.Def() != nil {
		n := v.Def()
		same := n.Is("Identity") || n.Is("Dropout") && n.Outputs[0] == v ||
			n.Is("Cast") && v.DType() != graph.Undefined && n.Input(0).DType() == v.DType()
		if !same {
			break
		}
		v = n.Input(0)
	}
	return v
}

// writer is the node that writes v, behind the nodes that do not change it; nil where none does.
func writer(v *graph.Value) *graph.Node {
	if v = source(v); v == nil {
		return nil
	}
	return v.Def()
}

// is matches a value written by operator op, whose inputs match in.
func is(op string, in ...pattern) pattern {
	return func(v *graph.Value, b *bindings) bool {
		v = source(v)
		if v == nil || !v.Def().Is(op) || len(v.Def().Inputs) < len(in) {
			return false
		}
		for i, p := range in {
			if !p(v.Def().Input(i), b) {
				return false
			}
		}
		return true
	}
}

// either matches what one of ps matches.
func either(ps ...pattern) pattern {
	return func(v *graph.Value, b *bindings) bool {
		before := *b
		for _, p := range ps {
			if p(v, b) {
				return true
			}
			*b = before
		}
		return false
	}
}

func add(x, y pattern) pattern { return either(is("Add", x, y), is("Add", y, x)) }
func mul(x, y pattern) pattern { return either(is("Mul", x, y), is("Mul", y, x)) }
func sub(x, y pattern) pattern { return is("Sub", x, y) }
func div(x, y pattern) pattern { return is("Div", x, y) }

// mul3 matches the product of three factors in any order.
func mul3(x, y, z pattern) pattern {
	return either(mul(mul(x, y), z), mul(mul(x, z), y), mul(mul(y, z), x))
}

// any1 matches any value and binds it, or the value bound before.
func any1(s slot) pattern {
	return func(v *graph.Value, b *bindings) bool {
		v = source(v)
		if b.value[s] == nil {
			b.value[s] = v
		}
		return v != nil && b.value[s] == v
	}
}

// vector matches a value of rank 1, such as a bias, and binds it.
func vector(s slot) pattern {
	return func(v *graph.Value, b *bindings) bool { return len(v.Shape()) == 1 && any1(s)(v, b) }
}

// anyNumber matches a constant of one element and binds it.
func anyNumber(s slot) pattern {
	return func(v *graph.Value, b *bindings) bool {
		f, ok := number(v)
		b.number[s] = f
		return ok
	}
}

// num matches the constant f, also as one of 16 bits gives it.
func num(f float64) pattern {
	return func(v *graph.Value, _ *bindings) bool {
		g, ok := number(v)
		return ok && (math.Abs(f-g) <= 1e-6*math.Abs(f) || g == float64(graph.Float16ToFloat32(graph.Float32ToFloat16(float32(f)))) ||
			g == float64(math.Float32frombits(uint32(graph.Float32ToBFloat16(float32(f)))<<16)))
	}
}

// lastMean matches the mean of what p matches over the last axis, which is kept.
func lastMean(p pattern) pattern {
	return func(v *graph.Value, b *bindings) bool {
		v = source(v)
		if v == nil || !v.Def().Is("ReduceMean") || v.Def().Int("keepdims", 1) == 0 {
			return false
		}
		axes, ok := integers(v.Def().Input(1))
		rank := int64(len(v.Def().Input(0).Shape()))
		return ok && len(axes) == 1 && (axes[0] == -1 || rank > 0 && axes[0] == rank-1) && p(v.Def().Input(0), b)
	}
}

// integers are the elements of a constant tensor of integers.
func integers(v *graph.Value) ([]int64, bool) {
	t := source(v).Const()
	if t == nil || t.Len() > maxConstant {
		return nil, false
	}
	list, err := t.Int64s()
	return list, err == nil
}

// maxConstant bounds the constants that Raise looks into.
const maxConstant = 1 << 24

// number is the value of a floating-point or integer constant of one element, also where it
// is computed from constants and known sizes, as exporters do with the scale of attention.
func number(v *graph.Value) (float64, bool) { return numberAt(v, 0) }

func numberAt(v *graph.Value, depth int) (float64, bool) {
	v = source(v)
	if v == nil || depth > 12 {
		return 0, false
	}
	if t := v.Const(); t != nil {
		return tensorNumber(t)
	}
	n := v.Def()
	if n == nil || !n.Is(n.Op) {
		return 0, false
	}
	switch n.Op {
	case "Slice", "Gather":
		return shapeElement(n, depth)
	case "ConstantOfShape": // torch.full of no axes, to which the number is added then
		f, ok := fill(n)
		return f, ok && v.Shape() != nil && len(v.Shape()) == 0
	}
	f, ok := scalarOps[n.Op]
	if !ok {
		return 0, false
	}
	var args [2]float64
	for i := range f.args {
		if args[i], ok = numberAt(n.Input(i), depth+1); !ok {
			return 0, false
		}
	}
	return f.eval(args[0], args[1]), true
}

// scalarOps are the operators by which exporters compute constants.
var scalarOps = map[string]struct {
	args int
	eval func(x, y float64) float64
}{
	"Cast":       {1, func(x, _ float64) float64 { return x }},
	"CastLike":   {1, func(x, _ float64) float64 { return x }},
	"Squeeze":    {1, func(x, _ float64) float64 { return x }},
	"Unsqueeze":  {1, func(x, _ float64) float64 { return x }},
	"Neg":        {1, func(x, _ float64) float64 { return -x }},
	"Sqrt":       {1, func(x, _ float64) float64 { return math.Sqrt(x) }},
	"Reciprocal": {1, func(x, _ float64) float64 { return 1 / x }},
	"Add":        {2, func(x, y float64) float64 { return x + y }},
	"Sub":        {2, func(x, y float64) float64 { return x - y }},
	"Mul":        {2, func(x, y float64) float64 { return x * y }},
	"Div":        {2, func(x, y float64) float64 { return x / y }},
	"Pow":        {2, math.Pow},
}

// shapeElement is the known size that n takes out of a Shape.
func shapeElement(n *graph.Node, depth int) (float64, bool) {
	shape := writer(n.Input(0))
	if !shape.Is("Shape") || shape.Int("start", 0) != 0 {
		return 0, false
	}
	i, ok := numberAt(n.Input(1), depth+1)
	rank := len(shape.Input(0).Shape())
	if i < 0 {
		i += float64(rank)
	}
	if !ok || rank == 0 || i < 0 || int(i) >= rank {
		return 0, false
	}
	if out := n.Outputs[0].Shape(); len(out) == 1 && out[0].Size != 1 {
		return 0, false
	}
	size := axisSize(shape.Input(0), int(i))
	return float64(size), size >= 0
}

func tensorNumber(t *graph.Tensor) (float64, bool) {
	if t.Len() != 1 {
		return 0, false
	}
	if t.DType.IsFloat() {
		if list, err := t.Float32s(); err == nil {
			return float64(list[0]), true
		}
		return 0, false
	}
	list, err := t.Int64s()
	if err != nil {
		return 0, false
	}
	return float64(list[0]), true
}
