//go:build !lite

package torch

import (
	"github.com/sugarme/gotch/libtch"

	"graft/train/torch/internal/shim"
)

// Zeros is torch.zeros.
func (s *Scope) Zeros(d DType, dev Device, sizes ...int64) *Tensor {
	return s.op("zeros", func(out *libtch.Ctensor) {
		list, n := intList(sizes)
		libtch.AtgZeros(out, list, n, int32(d), dev.number())
	})
}

// Ones is torch.ones.
func (s *Scope) Ones(d DType, dev Device, sizes ...int64) *Tensor {
	return s.op("ones", func(out *libtch.Ctensor) {
		list, n := intList(sizes)
		libtch.AtgOnes(out, list, n, int32(d), dev.number())
	})
}

// Full is torch.full.
func (s *Scope) Full(v float64, d DType, dev Device, sizes ...int64) *Tensor {
	return s.op("full", func(out *libtch.Ctensor) {
		c := scalarFor(d, v)
		defer libtch.AtsFree(c)
		list, n := intList(sizes)
		libtch.AtgFull(out, list, n, c, int32(d), dev.number())
	})
}

// ZerosLike is torch.zeros_like.
func (s *Scope) ZerosLike(x *Tensor) *Tensor { return s.unary("zeros_like", libtch.AtgZerosLike, x) }

// OnesLike is torch.ones_like.
func (s *Scope) OnesLike(x *Tensor) *Tensor { return s.unary("ones_like", libtch.AtgOnesLike, x) }

// Arange is torch.arange: start, start+step, ... below end.
func (s *Scope) Arange(start, end, step float64, d DType, dev Device) *Tensor {
	return s.op("arange", func(out *libtch.Ctensor) {
		a, b, c := scalarFor(d, start), scalarFor(d, end), scalarFor(d, step)
		defer libtch.AtsFree(a)
		defer libtch.AtsFree(b)
		defer libtch.AtsFree(c)
		libtch.AtgArangeStartStep(out, a, b, c, int32(d), dev.number())
	})
}

// Float32s is FromFloat32 into the scope.
func (s *Scope) Float32s(data []float32, shape ...int64) *Tensor {
	return s.from(func() (*Tensor, error) { return FromFloat32(data, shape...) })
}

// Int64s is FromInt64 into the scope.
func (s *Scope) Int64s(data []int64, shape ...int64) *Tensor {
	return s.from(func() (*Tensor, error) { return FromInt64(data, shape...) })
}

// Bools makes a bool tensor on the CPU.
func (s *Scope) Bools(data []bool, shape ...int64) *Tensor {
	raw := make([]byte, len(data))
	for i, b := range data {
		if b {
			raw[i] = 1
		}
	}
	return s.from(func() (*Tensor, error) { return FromBytes(Bool, raw, shape...) })
}

func (s *Scope) from(make func() (*Tensor, error)) *Tensor {
	if s.err != nil {
		return nil
	}
	t, err := make()
	if err != nil {
		s.Fail(err)
		return nil
	}
	return s.Own(t)
}

// To converts the elements' type; a tensor that has it already is returned as another handle.
func (s *Scope) To(x *Tensor, d DType) *Tensor {
	return s.op("to", func(out *libtch.Ctensor) { libtch.AtgTotype(out, x.h, int32(d)) }, x)
}

// ToDevice copies x to a device; a tensor that is there already is returned as another handle.
func (s *Scope) ToDevice(x *Tensor, dev Device) *Tensor {
	return s.op("to", func(out *libtch.Ctensor) { libtch.AtgTo(out, x.h, dev.number()) }, x)
}

// Clone is torch.clone.
func (s *Scope) Clone(x *Tensor) *Tensor {
	if !s.ready("clone", []*Tensor{x}) {
		return nil
	}
	h, err := shim.Clone(x.raw())
	return s.made("clone", h, err)
}
