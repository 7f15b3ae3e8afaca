package pickle

import (
	"errors"
	"fmt"
	"math/bits"
)

// maxRank is the most dimensions that a torch tensor can have.
const maxRank = 64

// rebuildTensor is torch._utils._rebuild_tensor_v2(storage, storage_offset,
// size, stride, requires_grad, backward_hooks[, metadata]) and its forerunner
// with the first four arguments. Offset and stride count elements.
func rebuildTensor(args []any) (any, error) {
	if len(args) < 4 || len(args) > 7 {
		return nil, fmt.Errorf("rebuild tensor: %d arguments", len(args))
	}
	if len(args) == 7 {
		if err := noMetadata(args[6]); err != nil {
			return nil, err
		}
	}
	v, ok := args[0].(*view)
	if !ok {
		return nil, fmt.Errorf("rebuild tensor: %T where a storage is due", args[0])
	}
	return newTensor(v, v.dtype, args[1:4])
}

// rebuildTensorV3 is torch._utils._rebuild_tensor_v3, which v2 is not enough
// for where a type has no storage class: (untyped storage, storage_offset,
// size, stride, requires_grad, backward_hooks, dtype[, metadata]).
func rebuildTensorV3(args []any) (any, error) {
	if len(args) < 7 || len(args) > 8 {
		return nil, fmt.Errorf("rebuild tensor: %d arguments", len(args))
	}
	if len(args) == 8 {
		if err := noMetadata(args[7]); err != nil {
			return nil, err
		}
	}
	v, ok := args[0].(*view)
	dtype, isType := args[6].(dtypeValue)
	if !ok || !isType {
		return nil, fmt.Errorf("rebuild tensor: %T and %T where a storage and a dtype are due", args[0], args[6])
	}
	return newTensor(v, string(dtype), args[1:4])
}

// noMetadata refuses tensors whose values are not what their bytes say
// (lazily conjugated or negated ones).
func noMetadata(metadata any) error {
	if metadata == nil {
		return nil
	}
	if entries, ok := dictEntries(metadata); !ok || len(entries) > 0 {
		return errors.New("rebuild tensor: metadata such as a conjugate bit is not supported")
	}
	return nil
}

// rebuildParameter is torch._utils._rebuild_parameter(data, requires_grad,
// backward_hooks[, state]).
func rebuildParameter(args []any) (any, error) {
	if len(args) < 3 || len(args) > 4 {
		return nil, fmt.Errorf("rebuild parameter: %d arguments", len(args))
	}
	if _, ok := args[0].(*Tensor); !ok {
		return nil, fmt.Errorf("rebuild parameter: %T where a tensor is due", args[0])
	}
	return args[0], nil
}

// first is a constructor that only wraps its argument, as torch.Size does.
func first(args []any) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments where one is due", len(args))
	}
	return args[0], nil
}

// newTensor checks that a tensor stays inside its storage. place holds the
// offset, the sizes and the strides, in elements.
func newTensor(v *view, dtype string, place []any) (*Tensor, error) {
	offset, ok := place[0].(int)
	if !ok || offset < 0 {
		return nil, fmt.Errorf("rebuild tensor: storage offset %v", place[0])
	}
	shape, err := integers(place[1])
	if err != nil {
		return nil, fmt.Errorf("rebuild tensor: size: %w", err)
	}
	stride, err := integers(place[2])
	if err != nil {
		return nil, fmt.Errorf("rebuild tensor: stride: %w", err)
	}
	if len(shape) != len(stride) || len(shape) > maxRank {
		return nil, fmt.Errorf("rebuild tensor: %d sizes and %d strides", len(shape), len(stride))
	}
	t := &Tensor{DType: dtype, Shape: shape, stride: stride, storage: v.storage, element: elementSize[dtype]}
	t.size, t.span, err = extent(shape, stride, t.element)
	if err != nil {
		return nil, err
	}
	start, ok := product(int64(offset), t.element)
	if !ok || start > v.size-t.span {
		return nil, fmt.Errorf("rebuild tensor: %s %v with strides %v from element %d needs more than the storage's %d bytes", dtype, shape, stride, offset, v.size)
	}
	if t.size > max(v.storage.size, 1<<20) {
		return nil, fmt.Errorf("rebuild tensor: %s %v is an expanded view of only %d bytes", dtype, shape, v.storage.size)
	}
	t.offset = v.offset + start
	return t, nil
}

// extent returns how many bytes a tensor has when it is laid out densely, and
// how many bytes of its storage it spans.
func extent(shape, stride []int64, element int64) (size, span int64, err error) {
	size, last := element, int64(0)
	for i, dim := range shape {
		if dim == 0 {
			return 0, 0, nil
		}
		step, ok1 := product(dim-1, stride[i])
		grown, ok2 := product(size, dim)
		if !ok1 || !ok2 || step > 1<<62-last {
			return 0, 0, fmt.Errorf("rebuild tensor: shape %v with strides %v overflows", shape, stride)
		}
		size, last = grown, last+step
	}
	span, ok := product(last+1, element)
	if !ok {
		return 0, 0, fmt.Errorf("rebuild tensor: shape %v with strides %v overflows", shape, stride)
	}
	return size, span, nil
}

// product multiplies non-negative numbers and says whether the result fits in
// 62 bits.
func product(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return int64(lo), hi == 0 && lo <= 1<<62
}
