package graph

import (
	"io"
	"slices"
)

// transposed is the data of a matrix's transpose, and converted that of a tensor in another element type. Both are
// computed when they are read. A conversion is outside of a transposition, so that elements move in the size that
// they are stored in.
type transposed struct {
	Derived
	of *Tensor
}

type converted struct {
	Derived
	of *Tensor
}

// Transpose is the transpose of the matrix t, called "<name>.T", computed when it is read: t is in memory then, in
// the type that it is stored in. The transpose of a transpose is read as the matrix itself.
func Transpose(t *Tensor) *Tensor {
	out := &Tensor{Name: t.Name + ".T", DType: t.DType, Shape: []int64{t.Shape[1], t.Shape[0]}, Metadata: t.Metadata}
	c, isConverted := t.Data.(converted)
	d, isTransposed := t.Data.(transposed)
	switch { // unless the elements have been given other rows since
	case isTransposed && slices.Equal(out.Shape, d.of.Shape):
		out.Data = d.of.Data
	case isConverted && slices.Equal(t.Shape, c.of.Shape):
		out.Data = convert(Transpose(c.of), t.DType)
	default:
		out.Data = transposed{Derived{t.Size(), func(w io.Writer) error { return writeTransposed(w, t) }}, t}
	}
	return out
}

// Convert is t, of elements in Float, Float16, BFloat16 or Double, in one of the first three, computed as it is read
// and in little memory. Rounding is to nearest, ties to even. A conversion that lost nothing is passed over.
func Convert(t *Tensor, d DType) *Tensor {
	if t.DType == d {
		return t
	}
	of := t
	if c, ok := t.Data.(converted); ok && t.DType == Float && c.of.DType.Bits() == 16 {
		of = c.of
	}
	out := *t
	out.DType, out.Data = d, convert(of, d)
	return &out
}

func convert(t *Tensor, d DType) Data {
	if t.DType == d {
		return t.Data
	}
	return converted{Derived{d.Bytes(t.Len()), func(w io.Writer) error { return writeConverted(w, t, d) }}, t}
}

// Source is the tensor whose elements t's are, converted by Convert or, where turned, moved by Transpose; else t.
func (t *Tensor) Source() (source *Tensor, turned bool) {
	switch d := t.Data.(type) {
	case transposed:
		return d.of, true
	case converted:
		return d.of.Source()
	}
	return t, false
}
