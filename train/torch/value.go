//go:build !lite

package torch

import (
	"fmt"

	"graft/graph"
)

// value is what a slot holds in a run: a tensor on the device, the same on the host, or both. Sizes and axes live on the
// host, where the arithmetic of shapes costs nothing and waits for nothing; all else lives on the device.
type value struct {
	t      *Tensor
	h      *graph.Tensor
	causal bool // in the place of a mask of attention: a causal order, and nothing else
}

func (v value) known() bool { return v.t != nil || v.h != nil }

// shape is the size in each dimension.
func (v value) shape() []int64 {
	if v.t != nil {
		return v.t.Shape()
	}
	return v.h.Shape
}

// torchTypes gives ONNX's element types their counterparts. Halves are computed in float32.
var torchTypes = map[graph.DType]DType{
	graph.Float: Float32, graph.Float16: Float32, graph.BFloat16: Float32, graph.Double: Float64, graph.Bool: Bool,
	graph.Uint8: Uint8, graph.Int8: Int8, graph.Int16: Int16, graph.Int32: Int32, graph.Int64: Int64,
}

// torchType is the counterpart of d.
func torchType(d graph.DType) (DType, error) {
	t, ok := torchTypes[d]
	if !ok {
		return 0, fmt.Errorf("element type %v is not supported", d)
	}
	return t, nil
}

// upload copies a constant to the device.
func (s *Scope) upload(t *graph.Tensor, dev Device) *Tensor {
	out := s.from(func() (*Tensor, error) {
		d, err := torchType(t.DType)
		if err != nil {
			return nil, err
		}
		if t.DType == graph.Float16 || t.DType == graph.BFloat16 {
			data, err := t.Float32s()
			if err != nil {
				return nil, err
			}
			return FromFloat32(data, t.Shape...)
		}
		data, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		return FromBytes(d, data, t.Shape...)
	})
	if out == nil || dev.Kind == CPU {
		return out
	}
	moved := s.ToDevice(out, dev)
	s.Release(out)
	return moved
}

// alias is a second handle of x, nil for nil: nothing that autograd sees.
func (s *Scope) alias(x *Tensor) *Tensor {
	if x == nil {
		return nil
	}
	return s.unary("alias", shallowClone, x)
}
