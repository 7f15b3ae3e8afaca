//go:build !lite

package torch

import "github.com/sugarme/gotch/libtch"

// Eq is torch.eq.
func (s *Scope) Eq(a, b *Tensor) *Tensor { return s.binary("eq", libtch.AtgEqTensor, a, b) }

// Ne is torch.ne.
func (s *Scope) Ne(a, b *Tensor) *Tensor { return s.binary("ne", libtch.AtgNeTensor, a, b) }

// Gt is torch.gt.
func (s *Scope) Gt(a, b *Tensor) *Tensor { return s.binary("gt", libtch.AtgGtTensor, a, b) }

// Ge is torch.ge.
func (s *Scope) Ge(a, b *Tensor) *Tensor { return s.binary("ge", libtch.AtgGeTensor, a, b) }

// Lt is torch.lt.
func (s *Scope) Lt(a, b *Tensor) *Tensor { return s.binary("lt", libtch.AtgLtTensor, a, b) }

// Le is torch.le.
func (s *Scope) Le(a, b *Tensor) *Tensor { return s.binary("le", libtch.AtgLeTensor, a, b) }

// And is torch.logical_and.
func (s *Scope) And(a, b *Tensor) *Tensor { return s.binary("logical_and", libtch.AtgLogicalAnd, a, b) }

// Or is torch.logical_or.
func (s *Scope) Or(a, b *Tensor) *Tensor { return s.binary("logical_or", libtch.AtgLogicalOr, a, b) }

// EqScalar is torch.eq of a tensor and a number.
func (s *Scope) EqScalar(x *Tensor, v float64) *Tensor { return s.scalar("eq", libtch.AtgEq, x, v) }

// NeScalar is torch.ne of a tensor and a number.
func (s *Scope) NeScalar(x *Tensor, v float64) *Tensor { return s.scalar("ne", libtch.AtgNe, x, v) }

// GtScalar is torch.gt of a tensor and a number.
func (s *Scope) GtScalar(x *Tensor, v float64) *Tensor { return s.scalar("gt", libtch.AtgGt, x, v) }

// GeScalar is torch.ge of a tensor and a number.
func (s *Scope) GeScalar(x *Tensor, v float64) *Tensor { return s.scalar("ge", libtch.AtgGe, x, v) }

// LtScalar is torch.lt of a tensor and a number.
func (s *Scope) LtScalar(x *Tensor, v float64) *Tensor { return s.scalar("lt", libtch.AtgLt, x, v) }

// LeScalar is torch.le of a tensor and a number.
func (s *Scope) LeScalar(x *Tensor, v float64) *Tensor { return s.scalar("le", libtch.AtgLe, x, v) }

// Not is torch.logical_not.
func (s *Scope) Not(x *Tensor) *Tensor { return s.unary("logical_not", libtch.AtgLogicalNot, x) }

// IsNaN is torch.isnan.
func (s *Scope) IsNaN(x *Tensor) *Tensor { return s.unary("isnan", libtch.AtgIsnan, x) }

// IsInf is torch.isinf.
func (s *Scope) IsInf(x *Tensor) *Tensor { return s.unary("isinf", libtch.AtgIsinf, x) }

// IsFinite is torch.isfinite.
func (s *Scope) IsFinite(x *Tensor) *Tensor { return s.unary("isfinite", libtch.AtgIsfinite, x) }

// Where is torch.where: elements of a where condition (bool) holds, of b elsewhere.
func (s *Scope) Where(condition, a, b *Tensor) *Tensor {
	return s.op("where", func(out *libtch.Ctensor) { libtch.AtgWhereSelf(out, condition.h, a.h, b.h) }, condition, a, b)
}

// MaskedFill is torch.Tensor.masked_fill: v where mask (bool, broadcast to x) holds, x elsewhere.
func (s *Scope) MaskedFill(x, mask *Tensor, v float64) *Tensor {
	return s.op("masked_fill", func(out *libtch.Ctensor) {
		c := scalarFor(x.DType(), v)
		defer libtch.AtsFree(c)
		libtch.AtgMaskedFill(out, x.h, mask.h, c)
	}, x, mask)
}
