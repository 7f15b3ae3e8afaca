//go:build !lite

package torch

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/sugarme/gotch/libtch"

	"graft/train/torch/internal/shim"
)

// Tensor is a handle of a libtorch tensor. A nil *Tensor stands for "no tensor" where an argument is optional.
type Tensor struct {
	h     libtch.Ctensor
	scope *Scope // the scope that frees it; nil: the caller does
}

// live counts the handles that this package has made and not yet freed.
var live atomic.Int64

// Live is the number of tensor handles that are not freed yet.
func Live() int64 { return live.Load() }

func newTensor(h libtch.Ctensor, s *Scope) *Tensor {
	live.Add(1)
	return &Tensor{h: h, scope: s}
}

// handle is the libtorch handle, nil where there is no tensor.
func (t *Tensor) handle() libtch.Ctensor {
	if t == nil {
		return nil
	}
	return t.h
}

// raw is the handle as the shim takes it.
func (t *Tensor) raw() shim.Handle { return shim.Handle(t.handle()) }

func raws(ts []*Tensor) []shim.Handle {
	hs := make([]shim.Handle, len(ts))
	for i, t := range ts {
		hs[i] = t.raw()
	}
	return hs
}

func handles(ts []*Tensor) []libtch.Ctensor {
	hs := make([]libtch.Ctensor, len(ts))
	for i, t := range ts {
		hs[i] = t.handle()
	}
	return hs
}

// Free gives the handle back. The memory goes when no other handle and no autograd graph refers to it. A second call, or
// one on nil, does nothing.
func (t *Tensor) Free() {
	if t == nil || t.h == nil {
		return
	}
	libtch.AtFree(t.h)
	t.h, t.scope = nil, nil
	live.Add(-1)
}

// FromBytes copies little-endian elements into a new tensor on the CPU. It belongs to the caller.
func FromBytes(d DType, data []byte, shape ...int64) (*Tensor, error) {
	want := int64(d.Size())
	if want == 0 {
		return nil, fmt.Errorf("new tensor: %v is not supported", d)
	}
	for _, n := range shape {
		want *= n
	}
	if int64(len(data)) != want {
		return nil, fmt.Errorf("new tensor: %d bytes for %v %v, want %d", len(data), d, shape, want)
	}
	var empty byte
	first := &empty
	if len(data) > 0 {
		first = &data[0]
	}
	// libtch reads the first dimension's address even of a scalar: room for one keeps it valid.
	dims := append(make([]int64, 0, len(shape)+1), shape...)
	unlock := Lock()
	defer unlock()
	h := libtch.AtTensorOfData(unsafe.Pointer(first), dims[:cap(dims)], uint(len(shape)), uint(d.Size()), int(d))
	if err := lastError("new tensor"); err != nil {
		return nil, err
	}
	return newTensor(h, nil), nil
}

// FromFloat32 copies data into a new float32 tensor on the CPU. It belongs to the caller.
func FromFloat32(data []float32, shape ...int64) (*Tensor, error) {
	return FromBytes(Float32, bytesOf(data), shape...)
}

// FromInt64 copies data into a new int64 tensor on the CPU. It belongs to the caller.
func FromInt64(data []int64, shape ...int64) (*Tensor, error) {
	return FromBytes(Int64, bytesOf(data), shape...)
}

// bytesOf views a slice of numbers as bytes.
func bytesOf[E float32 | int64 | uint64](data []E) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*int(unsafe.Sizeof(*new(E))))
}

// Shape is the tensor's size in each dimension; empty for a scalar.
func (t *Tensor) Shape() []int64 {
	n := int(libtch.AtDim(t.h))
	shape := make([]int64, n+1)
	libtch.AtShape(t.h, unsafe.Pointer(&shape[0]))
	return shape[:n:n]
}

// Dim is the size of dimension i; a negative i counts from the end. Out of range it is 0.
func (t *Tensor) Dim(i int) int64 {
	shape := t.Shape()
	if i < 0 {
		i += len(shape)
	}
	if i < 0 || i >= len(shape) {
		return 0
	}
	return shape[i]
}

// Rank is the number of dimensions.
func (t *Tensor) Rank() int { return int(libtch.AtDim(t.h)) }

// Len is the number of elements.
func (t *Tensor) Len() int64 {
	n := int64(1)
	for _, d := range t.Shape() {
		n *= d
	}
	return n
}

// DType is the type of the elements.
func (t *Tensor) DType() DType { return DType(libtch.AtScalarType(t.h)) }

// Device is where the elements are.
func (t *Tensor) Device() Device {
	// libtch reads eight bytes of a four-byte C int: the upper half means nothing.
	if n := int32(libtch.AtDevice(t.h)); n >= 0 {
		return Device{Kind: CUDA, Index: int(n)}
	}
	return Device{}
}

// String is the tensor's type and shape, for messages.
func (t *Tensor) String() string {
	if t == nil || t.h == nil {
		return "no tensor"
	}
	return fmt.Sprintf("%v%v", t.DType(), t.Shape())
}

// Float32s copies the elements out in row-major order, converted to float32, from any device.
func (t *Tensor) Float32s() ([]float32, error) { return elements[float32](t, Float32) }

// Int64s copies the elements out in row-major order, converted to int64, from any device.
func (t *Tensor) Int64s() ([]int64, error) { return elements[int64](t, Int64) }

// Bytes copies the elements out as they are, little-endian, in row-major order.
func (t *Tensor) Bytes() ([]byte, error) {
	d := t.DType()
	out := make([]byte, t.Len()*int64(d.Size()))
	return out, t.copyOut(out, d.Size())
}

// Item is the value of a tensor of one element.
func (t *Tensor) Item() (float64, error) {
	if n := t.Len(); n != 1 {
		return 0, fmt.Errorf("item: tensor has %d elements", n)
	}
	v, err := t.Float64s()
	if err != nil {
		return 0, err
	}
	return v[0], nil
}

// Float64s copies the elements out in row-major order, converted to float64, from any device.
func (t *Tensor) Float64s() ([]float64, error) { return elements[float64](t, Float64) }

func elements[E float32 | float64 | int64](t *Tensor, d DType) ([]E, error) {
	if t == nil || t.h == nil {
		return nil, errors.New("copy tensor: no tensor")
	}
	unlock := Lock()
	defer unlock()
	if t.DType() != d {
		var c libtch.Ctensor
		libtch.AtgTotype(&c, t.h, int32(d))
		if err := lastError("copy tensor"); err != nil {
			return nil, err
		}
		t = newTensor(c, nil)
		defer t.Free()
	}
	out := make([]E, t.Len())
	size := int(unsafe.Sizeof(*new(E)))
	return out, t.copyOut(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), len(out)*size), size)
}

// copyOut fills out with the tensor's elements of size bytes each.
func (t *Tensor) copyOut(out []byte, size int) error {
	if len(out) == 0 {
		return nil
	}
	unlock := Lock()
	defer unlock()
	libtch.AtCopyData(t.h, unsafe.Pointer(&out[0]), uint(len(out)/size), uint(size))
	return lastError("copy tensor")
}

// CopyFrom overwrites the elements with those of src, converting type and device; the shapes must agree or broadcast.
// It leaves no trace in autograd.
func (t *Tensor) CopyFrom(src *Tensor) error {
	unlock := Lock()
	defer unlock()
	var err error
	withGrad(shim.GradOff, func() {
		libtch.AtCopy_(t.h, src.h)
		err = lastError("copy")
	})
	return err
}

// RequiresGrad says whether autograd records operations on the tensor.
func (t *Tensor) RequiresGrad() bool { return libtch.AtRequiresGrad(t.h) }

// SetRequiresGrad turns recording on or off; only tensors of a floating type and outside of a graph can have it.
func (t *Tensor) SetRequiresGrad(on bool) error {
	unlock := Lock()
	defer unlock()
	var flag int32
	if on {
		flag = 1
	}
	var same libtch.Ctensor
	libtch.AtgRequiresGrad_(&same, t.h, flag)
	if err := lastError("requires_grad"); err != nil {
		return err
	}
	libtch.AtFree(same)
	return nil
}

// Grad is a new handle of the tensor's gradient, nil where there is none. The caller frees it.
func (t *Tensor) Grad() *Tensor {
	unlock := Lock()
	defer unlock()
	var g libtch.Ctensor
	libtch.AtgGrad(&g, t.h)
	if lastError("grad") != nil {
		return nil
	}
	if !libtch.AtDefined(g) {
		libtch.AtFree(g)
		return nil
	}
	return newTensor(g, nil)
}

// lastError takes the error of libtch's last call on this OS thread out of its slot.
func lastError(step string) error {
	return stepError(step, shim.Message(unsafe.Pointer(libtch.GetAndResetLastErr())))
}

func stepError(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("libtorch: %s: %w", step, err)
}

// sameShape says whether two tensors have equal shapes.
func sameShape(a, b *Tensor) bool { return slices.Equal(a.Shape(), b.Shape()) }
