package ort

import (
	"fmt"

	ort "github.com/yalue/onnxruntime_go"
)

// A Value is something that a session reads or writes: a *Tensor.
type Value interface {
	value() ort.Value
}

// A Tensor is an input or output whose memory is reused from run to run. It is
// in row-major order in CPU memory. A Tensor is for one goroutine at a time.
type Tensor[T ort.TensorData] struct {
	memory []T
	tensor *ort.Tensor[T]
	shape  []int64
}

// NewTensor returns an empty tensor; Resize gives it a shape.
func NewTensor[T ort.TensorData]() *Tensor[T] { return &Tensor[T]{} }

// Resize gives the tensor the shape and returns its elements to be filled.
// What they held before is undefined. The memory grows when it must and is
// never given back before Close.
func (t *Tensor[T]) Resize(shape ...int64) ([]T, error) {
	if t.tensor != nil && t.memory != nil && equalShapes(t.shape, shape) {
		return t.tensor.GetData(), nil
	}
	n, err := elements(shape)
	if err != nil {
		return nil, err
	}
	if n > int64(cap(t.memory)) {
		t.memory = make([]T, n)
	}
	tensor, err := ort.NewTensor(ort.NewShape(shape...), t.memory[:n])
	if err != nil {
		return nil, fmt.Errorf("tensor of shape %v: %w", shape, readable(err))
	}
	if t.tensor != nil {
		t.tensor.Destroy()
	}
	t.tensor, t.shape = tensor, append(t.shape[:0], shape...)
	return tensor.GetData(), nil
}

// Use makes the tensor a view of memory, which must hold as many elements as the shape says and
// stay as it is while a run uses it. Nothing is copied.
func (t *Tensor[T]) Use(memory []T, shape ...int64) error {
	n, err := elements(shape)
	if err != nil {
		return err
	}
	if int64(len(memory)) != n {
		return fmt.Errorf("tensor of shape %v: %d elements given", shape, len(memory))
	}
	tensor, err := ort.NewTensor(ort.NewShape(shape...), memory)
	if err != nil {
		return fmt.Errorf("tensor of shape %v: %w", shape, readable(err))
	}
	if t.tensor != nil {
		t.tensor.Destroy()
	}
	t.tensor, t.memory, t.shape = tensor, nil, append(t.shape[:0], shape...)
	return nil
}

// Data returns the elements under the present shape.
func (t *Tensor[T]) Data() []T {
	if t.tensor == nil {
		return nil
	}
	return t.tensor.GetData()
}

// Shape returns the present shape; the caller must not change it.
func (t *Tensor[T]) Shape() []int64 { return t.shape }

// Close releases ONNX Runtime's view of the tensor. The Go memory is the
// garbage collector's.
func (t *Tensor[T]) Close() error {
	if t.tensor != nil {
		t.tensor.Destroy()
		t.tensor, t.memory, t.shape = nil, nil, nil
	}
	return nil
}

func (t *Tensor[T]) value() ort.Value {
	if t.tensor == nil {
		return nil
	}
	return t.tensor
}

// maxElements bounds a tensor's size, so that a product of dimensions that
// came from a file cannot overflow.
const maxElements = 1 << 40

func elements(shape []int64) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("tensor of shape %v: negative dimension", shape)
		}
		if d > maxElements || (d > 0 && n > maxElements/d) {
			return 0, fmt.Errorf("tensor of shape %v: too large", shape)
		}
		n *= d
	}
	return n, nil
}

func equalShapes(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
