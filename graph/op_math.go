package graph

import (
	"math"
	"slices"
)

// mathOps are the operators that work element by element.
var mathOps = slices.Concat(unaryOps, activationOps, binaryOps, variadicOps)

var unaryOps = []Op{
	{Name: "Abs", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldAbs},
	{Name: "Acos", Since: 7, In: one, Out: one, Infer: sameAs0},
	{Name: "Acosh", Since: 9, In: one, Out: one, Infer: sameAs0},
	{Name: "Asin", Since: 7, In: one, Out: one, Infer: sameAs0},
	{Name: "Asinh", Since: 9, In: one, Out: one, Infer: sameAs0},
	{Name: "Atan", Since: 7, In: one, Out: one, Infer: sameAs0},
	{Name: "Atanh", Since: 9, In: one, Out: one, Infer: sameAs0},
	{Name: "BitwiseNot", Since: 18, In: one, Out: one, Infer: sameAs0},
	{Name: "Ceil", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Ceil)},
	{Name: "Cos", Since: 7, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Cos)},
	{Name: "Cosh", Since: 9, In: one, Out: one, Infer: sameAs0},
	{Name: "Erf", Since: 9, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Erf)},
	{Name: "Exp", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Exp)},
	{Name: "Floor", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Floor)},
	{Name: "IsInf", Since: 10, In: one, Out: one, Infer: boolAs0},
	{Name: "IsNaN", Since: 9, In: one, Out: one, Infer: boolAs0, Fold: foldIsNaN},
	{Name: "Log", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Log)},
	{Name: "Neg", Since: 1, In: one, Out: one, Infer: inferNeg, Fold: foldNeg},
	{Name: "Not", Since: 1, In: one, Out: one, Infer: inferNot, Fold: foldNot},
	{Name: "Reciprocal", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldReciprocal},
	{Name: "Round", Since: 11, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.RoundToEven)},
	{Name: "Sign", Since: 9, In: one, Out: one, Infer: sameAs0, Fold: foldSign},
	{Name: "Sin", Since: 7, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Sin)},
	{Name: "Sinh", Since: 9, In: one, Out: one, Infer: sameAs0},
	{Name: "Sqrt", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Sqrt)},
	{Name: "Tan", Since: 7, In: one, Out: one, Infer: sameAs0},
}

var activationOps = []Op{
	{Name: "Celu", Since: 12, In: one, Out: one, Infer: sameAs0},
	{Name: "Clip", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "Clip", Since: 11, In: between(1, 3), Out: one, Infer: sameAs0, Fold: foldClip},
	{Name: "Elu", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "Gelu", Since: 20, In: one, Out: one, Infer: sameAs0},
	{Name: "HardSigmoid", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "HardSwish", Since: 14, In: one, Out: one, Infer: sameAs0},
	{Name: "LeakyRelu", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "Mish", Since: 18, In: one, Out: one, Infer: sameAs0},
	{Name: "PRelu", Since: 1, In: exactly(2), Out: one, Infer: sameAs0},
	{Name: "Relu", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldRelu},
	{Name: "Selu", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "Shrink", Since: 9, In: one, Out: one, Infer: sameAs0},
	{Name: "Sigmoid", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(sigmoid)},
	{Name: "Softplus", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "Softsign", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "Swish", Since: 24, In: one, Out: one, Infer: sameAs0},
	{Name: "Tanh", Since: 1, In: one, Out: one, Infer: sameAs0, Fold: foldFloat(math.Tanh)},
	{Name: "ThresholdedRelu", Since: 10, In: one, Out: one, Infer: sameAs0},
}

var binaryOps = []Op{
	{Name: "Add", Since: 1, In: exactly(2), Out: one, Infer: arithmetic(expr.plus), Fold: foldAdd},
	{Name: "And", Since: 1, In: exactly(2), Out: one, Infer: comparison(exprAnd), Fold: foldAnd},
	{Name: "BitShift", Since: 11, In: exactly(2), Out: one, Infer: broadcast},
	{Name: "BitwiseAnd", Since: 18, In: exactly(2), Out: one, Infer: broadcast, Fold: foldBitwiseAnd},
	{Name: "BitwiseOr", Since: 18, In: exactly(2), Out: one, Infer: broadcast, Fold: foldBitwiseOr},
	{Name: "BitwiseXor", Since: 18, In: exactly(2), Out: one, Infer: broadcast},
	{Name: "Div", Since: 1, In: exactly(2), Out: one, Infer: arithmetic(exprDiv), Fold: foldDiv},
	{Name: "Equal", Since: 1, In: exactly(2), Out: one, Infer: comparison(exprEqual), Fold: foldEqual},
	{Name: "Greater", Since: 1, In: exactly(2), Out: one, Infer: comparison(exprGreater), Fold: foldGreater},
	{Name: "GreaterOrEqual", Since: 12, In: exactly(2), Out: one, Infer: comparison(exprGreaterOrEqual), Fold: foldGreaterOrEqual},
	{Name: "Less", Since: 1, In: exactly(2), Out: one, Infer: comparison(exprLess), Fold: foldLess},
	{Name: "LessOrEqual", Since: 12, In: exactly(2), Out: one, Infer: comparison(exprLessOrEqual), Fold: foldLessOrEqual},
	{Name: "Mod", Since: 10, In: exactly(2), Out: one, Infer: arithmetic(exprMod), Fold: foldMod},
	{Name: "Mul", Since: 1, In: exactly(2), Out: one, Infer: arithmetic(exprMul), Fold: foldMul},
	{Name: "Or", Since: 1, In: exactly(2), Out: one, Infer: comparison(exprOr), Fold: foldOr},
	{Name: "Pow", Since: 1, In: exactly(2), Out: one, Infer: broadcast, Fold: foldPow},
	{Name: "Sub", Since: 1, In: exactly(2), Out: one, Infer: arithmetic(expr.minus), Fold: foldSub},
	{Name: "Xor", Since: 1, In: exactly(2), Out: one, Infer: broadcastBool, Fold: foldXor},
}

var variadicOps = []Op{
	{Name: "Max", Since: 1, In: atLeast(1), Out: one, Infer: inferMax, Fold: foldMax},
	{Name: "Mean", Since: 1, In: atLeast(1), Out: one, Infer: broadcast},
	{Name: "Min", Since: 1, In: atLeast(1), Out: one, Infer: inferMin, Fold: foldMin},
	{Name: "Sum", Since: 1, In: atLeast(1), Out: one, Infer: broadcast, Fold: foldSum},
	{Name: "Where", Since: 9, In: exactly(3), Out: one, Infer: inferWhere, Fold: foldWhere},
}

func boolAs0(f *Inference) error {
	f.Set(0, Bool, f.Shape(0))
	return nil
}

func inferNeg(f *Inference) error {
	f.mapElements(func(e expr) expr { return e.times(constant(-1)) })
	return sameAs0(f)
}

func inferNot(f *Inference) error {
	f.mapElements(exprNot)
	return sameAs0(f)
}

// mapElements states the elements of output 0 as op of those of input 0.
func (f *Inference) mapElements(op func(expr) expr) {
	in := f.elements(0)
	if in == nil {
		return
	}
	out := make([]expr, len(in))
	for i, e := range in {
		out[i] = op(e)
	}
	f.setElements(0, out)
}

func inferMax(f *Inference) error { return inferExtreme(f, exprMax) }
func inferMin(f *Inference) error { return inferExtreme(f, exprMin) }

func inferExtreme(f *Inference, op func(a, b expr) expr) error {
	switch len(f.Node.Inputs) {
	case 1:
		f.setElements(0, f.elements(0))
	case 2:
		f.elementwise(op)
	}
	return broadcast(f)
}

func inferWhere(f *Inference) error {
	if cond, ok := f.ints(0); ok {
		a, b := f.elements(1), f.elements(2)
		n := max(len(cond), len(a), len(b))
		fits := func(k int) bool { return k == n || k == 1 }
		if fits(len(cond)) && fits(len(a)) && fits(len(b)) {
			out := make([]expr, n)
			for i := range out {
				if cond[i%len(cond)] != 0 {
					out[i] = a[i%len(a)]
				} else {
					out[i] = b[i%len(b)]
				}
			}
			f.setElements(0, out)
		}
	}
	return broadcastAs(f, f.Elem(1))
}
