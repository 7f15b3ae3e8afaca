package graph

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Tensor is a constant: an initializer or an attribute. Its bytes are little-endian in
// row-major order, sub-byte types packed low bits first, as in TensorProto.raw_data.
type Tensor struct {
	Name     string
	DType    DType
	Shape    []int64
	Data     Data     // nil for strings
	Strings  []string // elements of a String tensor, as bytes
	Doc      string
	Metadata []Property
	Extra    []byte
}

// Data is the content of a tensor, in memory or still in a file. Implementations are safe for
// concurrent reads.
type Data interface {
	io.WriterTo             // streams all bytes, in bounded memory where the data is in a file
	Size() int64            // in bytes
	Bytes() ([]byte, error) // all bytes at once; not to be modified
}

// Raw is data in memory.
type Raw []byte

func (r Raw) Size() int64            { return int64(len(r)) }
func (r Raw) Bytes() ([]byte, error) { return r, nil }
func (r Raw) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r)
	return int64(n), err
}

// Derived is data computed when it is asked for, so that a large model is never in memory whole.
type Derived struct {
	Length int64
	Write  func(io.Writer) error // writes exactly Length bytes
}

func (d Derived) Size() int64 { return d.Length }

func (d Derived) Bytes() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(d.Length))
	if _, err := d.WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (d Derived) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	if err := d.Write(c); err != nil {
		return c.n, err
	}
	if c.n != d.Length {
		return c.n, fmt.Errorf("derived tensor data: wrote %d bytes, want %d", c.n, d.Length)
	}
	return c.n, nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Count is the number of elements of shape; -1 where a size is negative or the product overflows.
func Count(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || (d > 0 && n > math.MaxInt64/d) {
			return -1
		}
		n *= d
	}
	return n
}

// Len is the number of elements.
func (t *Tensor) Len() int64 { return Count(t.Shape) }

// Size is the number of bytes that the elements take; -1 for strings.
func (t *Tensor) Size() int64 { return t.DType.Bytes(t.Len()) }

// Type is the tensor's type as a value.
func (t *Tensor) Type() *Type { return &Type{Elem: t.DType, Shape: Dims(t.Shape...)} }

// Bytes returns the elements' bytes; not to be modified.
func (t *Tensor) Bytes() ([]byte, error) {
	if t.Data == nil {
		return nil, fmt.Errorf("tensor %q (%v) holds no bytes", t.Name, t.DType)
	}
	b, err := t.Data.Bytes()
	if err != nil {
		return nil, fmt.Errorf("read tensor %q: %w", t.Name, err)
	}
	if int64(len(b)) != t.Size() {
		return nil, fmt.Errorf("read tensor %q: %d bytes for %v%v, want %d", t.Name, len(b), t.DType, t.Shape, t.Size())
	}
	return b, nil
}

// number lists the Go types that a tensor of the same width is read into and made from.
type number interface {
	float32 | float64 | int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | bool
}

var dtypeOf = map[any]DType{
	float32(0): Float, float64(0): Double, int8(0): Int8, uint8(0): Uint8, int16(0): Int16, uint16(0): Uint16,
	int32(0): Int32, uint32(0): Uint32, int64(0): Int64, uint64(0): Uint64, false: Bool,
}

// NewTensor makes a tensor of data in memory; len(data) must be the product of shape.
// Without a shape it is a scalar.
func NewTensor[T number](name string, data []T, shape ...int64) *Tensor {
	var zero T
	if Count(shape) != int64(len(data)) {
		panic(fmt.Sprintf("graph.NewTensor %q: %d elements for shape %v", name, len(data), shape))
	}
	raw, err := binary.Append(nil, binary.LittleEndian, data)
	if err != nil {
		panic(err) // cannot be: elements have fixed sizes
	}
	if shape == nil {
		shape = []int64{}
	}
	return &Tensor{Name: name, DType: dtypeOf[any(zero)], Shape: shape, Data: Raw(raw)}
}

// Int64s returns the elements of an integer or bool tensor.
func (t *Tensor) Int64s() ([]int64, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]int64, t.Len())
	le := binary.LittleEndian
	for i := range out {
		switch t.DType {
		case Int64, Uint64:
			out[i] = int64(le.Uint64(b[8*i:]))
		case Int32:
			out[i] = int64(int32(le.Uint32(b[4*i:])))
		case Uint32:
			out[i] = int64(le.Uint32(b[4*i:]))
		case Int16:
			out[i] = int64(int16(le.Uint16(b[2*i:])))
		case Uint16:
			out[i] = int64(le.Uint16(b[2*i:]))
		case Int8:
			out[i] = int64(int8(b[i]))
		case Uint8, Bool:
			out[i] = int64(b[i])
		default:
			return nil, fmt.Errorf("read tensor %q: %v elements, want integers", t.Name, t.DType)
		}
	}
	return out, nil
}

// Float16ToFloat32 widens an IEEE 754 binary16 value; exact, subnormals and NaN payloads included.
func Float16ToFloat32(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&0x3ff
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp == 0:
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}
