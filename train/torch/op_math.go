//go:build !lite

package torch

import (
	"math"

	"github.com/sugarme/gotch/libtch"

	"graft/graph"
)

// mathRows are the operators that compute element by element.
var mathRows = []opRow{
	{"", "Abs", 1, unary((*Scope).Abs)},
	{"", "Acos", 7, torchUnary("acos", libtch.AtgAcos)},
	{"", "Acosh", 9, torchUnary("acosh", libtch.AtgAcosh)},
	{"", "Add", 1, arithmetic((*Scope).Add, (*Scope).AddScalar, true)},
	{"", "Asin", 7, torchUnary("asin", libtch.AtgAsin)},
	{"", "Asinh", 9, torchUnary("asinh", libtch.AtgAsinh)},
	{"", "Atan", 7, torchUnary("atan", libtch.AtgAtan)},
	{"", "Atanh", 9, torchUnary("atanh", libtch.AtgAtanh)},
	{"", "BitwiseAnd", 18, torchBinary("bitwise_and", libtch.AtgBitwiseAndTensor)},
	{"", "BitwiseNot", 18, torchUnary("bitwise_not", libtch.AtgBitwiseNot)},
	{"", "BitwiseOr", 18, torchBinary("bitwise_or", libtch.AtgBitwiseOrTensor)},
	{"", "BitwiseXor", 18, torchBinary("bitwise_xor", libtch.AtgBitwiseXorTensor)},
	{"", "Cast", 1, one(cast)},
	{"", "CastLike", 15, one(castLike)},
	{"", "Ceil", 1, unary((*Scope).Ceil)},
	{"", "Clip", 1, one(clip)},
	{"", "Cos", 7, unary((*Scope).Cos)},
	{"", "Cosh", 9, torchUnary("cosh", libtch.AtgCosh)},
	{"", "Div", 1, one(div)},
	{"", "Erf", 9, unary((*Scope).Erf)},
	{"", "Exp", 1, unary((*Scope).Exp)},
	{"", "Floor", 1, unary((*Scope).Floor)},
	{"", "Log", 1, unary((*Scope).Log)},
	{"", "Max", 1, one(extreme((*Scope).Maximum, (*Scope).ClampMin))},
	{"", "Mean", 1, one(mean)},
	{"", "Min", 1, one(extreme((*Scope).Minimum, (*Scope).ClampMax))},
	{"", "Mod", 10, one(mod)},
	{"", "Mul", 1, arithmetic((*Scope).Mul, (*Scope).MulScalar, true)},
	{"", "Neg", 1, unary((*Scope).Neg)},
	{"", "Pow", 1, one(pow)},
	{"", "Reciprocal", 1, unary((*Scope).Reciprocal)},
	{"", "Round", 11, unary((*Scope).Round)},
	{"", "Sign", 9, unary((*Scope).Sign)},
	{"", "Sin", 7, unary((*Scope).Sin)},
	{"", "Sinh", 9, torchUnary("sinh", libtch.AtgSinh)},
	{"", "Sqrt", 1, unary((*Scope).Sqrt)},
	{"", "Sub", 1, arithmetic((*Scope).Sub, subScalar, false)},
	{"", "Sum", 1, variadic((*Scope).Add)},
	{"", "Tan", 7, unary((*Scope).Tan)},
}

// torchUnary makes a lowering of a function of libtch on input 0.
func torchUnary(name string, f func(out *libtch.Ctensor, x libtch.Ctensor)) lowering {
	return unary(func(s *Scope, x *Tensor) *Tensor { return s.unary(name, f, x) })
}

// torchBinary makes a lowering of a function of libtch on inputs 0 and 1.
func torchBinary(name string, f func(out *libtch.Ctensor, a, b libtch.Ctensor)) lowering {
	return binary(func(s *Scope, a, b *Tensor) *Tensor { return s.binary(name, f, a, b) })
}

// arithmetic makes a lowering of a binary operator. A constant of one element counts as a number, which unlike a tensor
// never raises the type of the result: under autocast products stay in half precision.
func arithmetic(tensors func(s *Scope, a, b *Tensor) *Tensor, number func(s *Scope, x *Tensor, v float64) *Tensor, commutes bool) lowering {
	return one(func(c *call) *Tensor {
		if v, ok := c.constantBeside(1); ok {
			return number(c.Scope, c.tensor(0), v)
		}
		if v, ok := c.constantBeside(0); ok && commutes {
			return number(c.Scope, c.tensor(1), v)
		}
		return tensors(c.Scope, c.tensor(0), c.tensor(1))
	})
}

// constantBeside is input i (0 or 1) as a number, where it is a constant of one element that gives the result no more
// dimensions than the other input has.
func (c *call) constantBeside(i int) (float64, bool) {
	v, ok := c.number(i)
	other := c.value(1 - i)
	return v, ok && other.t != nil && len(c.value(i).shape()) <= other.t.Rank()
}

func subScalar(s *Scope, x *Tensor, v float64) *Tensor { return s.AddScalar(x, -v) }

// div truncates toward zero where both are integers.
func div(c *call) *Tensor {
	a := c.tensor(0)
	if a != nil && !a.DType().Floating() {
		b := c.tensor(1)
		return c.raw("div", func(out *libtch.Ctensor) { libtch.AtgDivTensorMode(out, a.h, b.h, "trunc") }, a, b)
	}
	if v, ok := c.constantBeside(1); ok {
		return c.DivScalar(a, v)
	}
	return c.Div(a, c.tensor(1))
}

// mod has the sign of the divisor, or with fmod that of the dividend.
func mod(c *call) *Tensor {
	a, b := c.tensor(0), c.tensor(1)
	if c.node().Int("fmod", 0) != 0 {
		return c.binary("fmod", libtch.AtgFmodTensor, a, b)
	}
	return c.binary("remainder", libtch.AtgRemainderTensor, a, b)
}

// pow has the type of the base.
func pow(c *call) *Tensor {
	a := c.tensor(0)
	if v, ok := c.constantBeside(1); ok && a.DType().Floating() {
		return c.PowScalar(a, v)
	}
	return c.then(c.Pow(a, c.tensor(1)), func(y *Tensor) *Tensor { return c.To(y, a.DType()) })
}

func mean(c *call) *Tensor {
	return c.then(c.fold((*Scope).Add), func(sum *Tensor) *Tensor { return c.DivScalar(sum, float64(len(c.step.in))) })
}

// extreme is Max or Min of any number of inputs; against a constant of one element it is a bound.
func extreme(tensors func(s *Scope, a, b *Tensor) *Tensor, number func(s *Scope, x *Tensor, v float64) *Tensor) func(c *call) *Tensor {
	return func(c *call) *Tensor {
		if len(c.step.in) == 2 {
			for i := range 2 {
				if v, ok := c.constantBeside(i); ok {
					return number(c.Scope, c.tensor(1-i), v)
				}
			}
		}
		return c.fold(tensors)
	}
}

// clip bounds by inputs 1 and 2, up to opset 10 by attributes. Where the bounds cross, the upper one holds.
func clip(c *call) *Tensor {
	low, high := math.Inf(-1), math.Inf(1)
	if a := c.node().Attr("min"); a != nil {
		low = float64(a.Float)
	}
	if a := c.node().Attr("max"); a != nil {
		high = float64(a.Float)
	}
	low, high = c.scalarOr(1, low), c.scalarOr(2, high)
	y := c.alias(c.tensor(0))
	if !math.IsInf(low, -1) {
		y = c.then(y, func(x *Tensor) *Tensor { return c.ClampMin(x, low) })
	}
	if !math.IsInf(high, 1) {
		y = c.then(y, func(x *Tensor) *Tensor { return c.ClampMax(x, high) })
	}
	return y
}

func cast(c *call) *Tensor {
	d, err := torchType(graph.DType(c.node().Int("to", 0)))
	if err != nil {
		c.Fail(err)
		return nil
	}
	return c.To(c.tensor(0), d)
}

func castLike(c *call) *Tensor {
	if h := c.value(1).h; h != nil {
		d, err := torchType(h.DType)
		if err != nil {
			c.Fail(err)
			return nil
		}
		return c.To(c.tensor(0), d)
	}
	return c.To(c.tensor(0), c.tensor(1).DType())
}
