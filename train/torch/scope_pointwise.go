//go:build !lite

package torch

import "github.com/sugarme/gotch/libtch"

// Add is torch.add.
func (s *Scope) Add(a, b *Tensor) *Tensor { return s.binary("add", libtch.AtgAdd, a, b) }

// Sub is torch.sub.
func (s *Scope) Sub(a, b *Tensor) *Tensor { return s.binary("sub", libtch.AtgSub, a, b) }

// Mul is torch.mul.
func (s *Scope) Mul(a, b *Tensor) *Tensor { return s.binary("mul", libtch.AtgMul, a, b) }

// Div is torch.div.
func (s *Scope) Div(a, b *Tensor) *Tensor { return s.binary("div", libtch.AtgDiv, a, b) }

// Pow is torch.pow.
func (s *Scope) Pow(a, b *Tensor) *Tensor { return s.binary("pow", libtch.AtgPow, a, b) }

// Maximum is torch.maximum.
func (s *Scope) Maximum(a, b *Tensor) *Tensor { return s.binary("maximum", libtch.AtgMaximum, a, b) }

// Minimum is torch.minimum.
func (s *Scope) Minimum(a, b *Tensor) *Tensor { return s.binary("minimum", libtch.AtgMinimum, a, b) }

// AddScalar is torch.add of a tensor and a number.
func (s *Scope) AddScalar(x *Tensor, v float64) *Tensor {
	return s.scalar("add", libtch.AtgAddScalar, x, v)
}

// MulScalar is torch.mul of a tensor and a number.
func (s *Scope) MulScalar(x *Tensor, v float64) *Tensor {
	return s.scalar("mul", libtch.AtgMulScalar, x, v)
}

// DivScalar is torch.div of a tensor and a number.
func (s *Scope) DivScalar(x *Tensor, v float64) *Tensor {
	return s.scalar("div", libtch.AtgDivScalar, x, v)
}

// PowScalar is torch.pow of a tensor and a number.
func (s *Scope) PowScalar(x *Tensor, v float64) *Tensor {
	return s.scalar("pow", libtch.AtgPowTensorScalar, x, v)
}

// ClampMin is torch.clamp_min of a tensor and a number.
func (s *Scope) ClampMin(x *Tensor, v float64) *Tensor {
	return s.scalar("clamp_min", libtch.AtgClampMin, x, v)
}

// ClampMax is torch.clamp_max of a tensor and a number.
func (s *Scope) ClampMax(x *Tensor, v float64) *Tensor {
	return s.scalar("clamp_max", libtch.AtgClampMax, x, v)
}

// Remainder is torch.remainder of a tensor and a number.
func (s *Scope) Remainder(x *Tensor, v float64) *Tensor {
	return s.scalar("remainder", libtch.AtgRemainder, x, v)
}

// Fmod is torch.fmod of a tensor and a number.
func (s *Scope) Fmod(x *Tensor, v float64) *Tensor { return s.scalar("fmod", libtch.AtgFmod, x, v) }

// Neg is torch.neg.
func (s *Scope) Neg(x *Tensor) *Tensor { return s.unary("neg", libtch.AtgNeg, x) }

// Abs is torch.abs.
func (s *Scope) Abs(x *Tensor) *Tensor { return s.unary("abs", libtch.AtgAbs, x) }

// Sign is torch.sign.
func (s *Scope) Sign(x *Tensor) *Tensor { return s.unary("sign", libtch.AtgSign, x) }

// Exp is torch.exp.
func (s *Scope) Exp(x *Tensor) *Tensor { return s.unary("exp", libtch.AtgExp, x) }

// Log is torch.log.
func (s *Scope) Log(x *Tensor) *Tensor { return s.unary("log", libtch.AtgLog, x) }

// Log1p is torch.log1p.
func (s *Scope) Log1p(x *Tensor) *Tensor { return s.unary("log1p", libtch.AtgLog1p, x) }

// Sqrt is torch.sqrt.
func (s *Scope) Sqrt(x *Tensor) *Tensor { return s.unary("sqrt", libtch.AtgSqrt, x) }

// Rsqrt is torch.rsqrt.
func (s *Scope) Rsqrt(x *Tensor) *Tensor { return s.unary("rsqrt", libtch.AtgRsqrt, x) }

// Square is torch.square.
func (s *Scope) Square(x *Tensor) *Tensor { return s.unary("square", libtch.AtgSquare, x) }

// Reciprocal is torch.reciprocal.
func (s *Scope) Reciprocal(x *Tensor) *Tensor { return s.unary("reciprocal", libtch.AtgReciprocal, x) }

// Erf is torch.erf.
func (s *Scope) Erf(x *Tensor) *Tensor { return s.unary("erf", libtch.AtgErf, x) }

// Sin is torch.sin.
func (s *Scope) Sin(x *Tensor) *Tensor { return s.unary("sin", libtch.AtgSin, x) }

// Cos is torch.cos.
func (s *Scope) Cos(x *Tensor) *Tensor { return s.unary("cos", libtch.AtgCos, x) }

// Tan is torch.tan.
func (s *Scope) Tan(x *Tensor) *Tensor { return s.unary("tan", libtch.AtgTan, x) }

// Tanh is torch.tanh.
func (s *Scope) Tanh(x *Tensor) *Tensor { return s.unary("tanh", libtch.AtgTanh, x) }

// Sigmoid is torch.sigmoid.
func (s *Scope) Sigmoid(x *Tensor) *Tensor { return s.unary("sigmoid", libtch.AtgSigmoid, x) }

// Floor is torch.floor.
func (s *Scope) Floor(x *Tensor) *Tensor { return s.unary("floor", libtch.AtgFloor, x) }

// Ceil is torch.ceil.
func (s *Scope) Ceil(x *Tensor) *Tensor { return s.unary("ceil", libtch.AtgCeil, x) }

// Round is torch.round.
func (s *Scope) Round(x *Tensor) *Tensor { return s.unary("round", libtch.AtgRound, x) }

// Relu is torch.relu.
func (s *Scope) Relu(x *Tensor) *Tensor { return s.unary("relu", libtch.AtgRelu, x) }

// Silu is torch.silu.
func (s *Scope) Silu(x *Tensor) *Tensor { return s.unary("silu", libtch.AtgSilu, x) }

// Softplus is torch.softplus.
func (s *Scope) Softplus(x *Tensor) *Tensor { return s.unary("softplus", libtch.AtgSoftplus, x) }

// LogSigmoid is torch.logsigmoid.
func (s *Scope) LogSigmoid(x *Tensor) *Tensor { return s.unary("logsigmoid", libtch.AtgLogSigmoid, x) }

// Elu is torch.elu.
func (s *Scope) Elu(x *Tensor) *Tensor { return s.unary("elu", libtch.AtgElu, x) }

// Mish is torch.mish.
func (s *Scope) Mish(x *Tensor) *Tensor { return s.unary("mish", libtch.AtgMish, x) }
