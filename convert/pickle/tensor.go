package pickle

import (
	"bytes"
	"fmt"
	"io"
)

// storage is a run of bytes that tensors look into. Several tensors may share
// one.
type storage struct {
	size int64
	open func(offset, size int64) (io.ReadCloser, error)
}

// view is a part of a storage with an element type: what a pickle calls a
// storage. offset and size are in bytes.
type view struct {
	*storage
	dtype        string
	offset, size int64
}

// Tensor is one tensor of an open checkpoint.
type Tensor struct {
	Name  string
	DType string  // by its name in the safetensors format: F32, BF16, …
	Shape []int64 // empty for a scalar

	storage *storage
	offset  int64   // of the first element, in bytes
	span    int64   // bytes of the storage from the first to the last element
	stride  []int64 // in elements
	element int64   // bytes per element
	size    int64
}

// Size is the length of the tensor's data in bytes.
func (t *Tensor) Size() int64 { return t.size }

// Open returns a reader over the tensor's row-major little-endian bytes. It
// reads from the file as it goes, except for a view that is not contiguous (a
// transposed matrix, say), whose elements are gathered in memory first.
func (t *Tensor) Open() (io.ReadCloser, error) {
	r, err := t.open()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return r, nil
}

func (t *Tensor) open() (io.ReadCloser, error) {
	if t.size == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	r, err := t.storage.open(t.offset, t.span)
	if err != nil || t.contiguous() {
		return r, err
	}
	defer r.Close()
	var source bytes.Buffer
	if _, err := io.CopyN(&source, r, t.span); err != nil {
		return nil, noEOF(err)
	}
	dense := gather(make([]byte, 0, t.size), source.Bytes(), t.Shape, t.stride, t.element)
	return io.NopCloser(bytes.NewReader(dense)), nil
}

// contiguous says whether the elements lie in row-major order without gaps.
func (t *Tensor) contiguous() bool {
	next := int64(1)
	for i := len(t.Shape) - 1; i >= 0; i-- {
		if t.Shape[i] != 1 && t.stride[i] != next {
			return false
		}
		next *= t.Shape[i]
	}
	return true
}

// gather appends the elements of a strided tensor in row-major order. source
// starts at its first element.
func gather(dense, source []byte, shape, stride []int64, element int64) []byte {
	if len(shape) == 0 {
		return append(dense, source[:element]...)
	}
	for i := range shape[0] {
		dense = gather(dense, source[i*stride[0]*element:], shape[1:], stride[1:], element)
	}
	return dense
}

// WriteTo copies the tensor's data to w. Data that ends early is an
// io.ErrUnexpectedEOF.
func (t *Tensor) WriteTo(w io.Writer) (int64, error) {
	r, err := t.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err == nil && n < t.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return n, nil
}
