package pass

import (
	"io"
	"math"
	"slices"

	"graft/graph"
)

// scalar is the constant f in x's element type.
func (r *rewriter) scalar(x *graph.Value, f float64) *graph.Value {
	if d := x.DType(); d != graph.Undefined && d != graph.Float {
		return r.once(sharedKey{what: "scalar", more: [2]any{d, f}}, func() *graph.Value {
			return r.b.Const(scalarTensor(d, f))
		})
	}
	return r.b.Scalar(float32(f))
}

// scalarTensor is f as a tensor of no axes in the floating-point type d.
func scalarTensor(d graph.DType, f float64) *graph.Tensor {
	if d == graph.Double {
		return graph.NewTensor("f64", []float64{f})
	}
	t := graph.NewTensor("f", []float32{float32(f)})
	if d == graph.Float {
		return t
	}
	return convertTensor(t, d)
}

// lowerTranspose stores a transposed weight once instead of transposing it in every run.
func lowerTranspose(l *lowerer, n *graph.Node) (*graph.Value, error) {
	w := n.Input(0)
	if w.Init == nil || !slices.Equal(n.Ints("perm"), []int64{1, 0}) || len(w.Init.Shape) != 2 || l.model.Graph.Input(w.Name) != nil {
		return nil, nil
	}
	if v, ok := l.transposed[w]; ok {
		return v, nil
	}
	v := l.scratch.AddInitializer(transposeTensor(w.Init))
	l.transposed[w] = v
	return v, nil
}

// transposeTensor is the transpose of a matrix, called "<name>.T". It is computed when it is
// written: the source is read then, and a block of rows at a time is in memory.
func transposeTensor(t *graph.Tensor) *graph.Tensor {
	out := &graph.Tensor{Name: t.Name + ".T", DType: t.DType, Shape: []int64{t.Shape[1], t.Shape[0]}, Metadata: t.Metadata}
	size := int(t.DType.Bits() / 8)
	out.Data = graph.Derived{Length: t.Size(), Write: func(w io.Writer) error {
		src, err := t.Bytes()
		if err != nil {
			return err
		}
		return writeTransposed(w, src, int(t.Shape[0]), int(t.Shape[1]), size)
	}}
	return out
}

// transposeRows is how many rows of the result are made at a time: a cache line of sources.
const transposeRows = 16

// writeTransposed writes the transpose of the rows × cols matrix src of elements of size bytes.
func writeTransposed(w io.Writer, src []byte, rows, cols, size int) error {
	block := make([]byte, min(transposeRows, cols)*rows*size)
	for first := 0; first < cols; first += transposeRows {
		n := min(transposeRows, cols-first)
		for r := range rows {
			for c := range n {
				from := (r*cols + first + c) * size
				copy(block[(c*rows+r)*size:][:size], src[from:from+size])
			}
		}
		if _, err := w.Write(block[:n*rows*size]); err != nil {
			return err
		}
	}
	return nil
}

// float16Bits rounds f to IEEE 754 binary16, ties to even; what is too large becomes infinite.
func float16Bits(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	exp, frac := int(bits>>23&0xff), bits&0x7fffff
	switch {
	case exp == 0xff: // infinite, or NaN kept quiet
		if frac != 0 {
			return sign | 0x7e00
		}
		return sign | 0x7c00
	case exp < 102: // below half of the smallest subnormal
		return sign
	case exp < 113:
		frac |= 1 << 23
		return sign | uint16(roundEven(frac, 126-exp))
	}
	h := uint32(exp-112)<<10 + roundEven(frac, 13) // a carry moves into the exponent, as it should
	if h >= 0x7c00 {
		return sign | 0x7c00
	}
	return sign | uint16(h)
}

// bfloat16Bits rounds f to bfloat16, ties to even.
func bfloat16Bits(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f {
		return uint16(bits>>16) | 0x40
	}
	return uint16((uint64(bits) + 0x7fff + uint64(bits>>16&1)) >> 16)
}

// roundEven is x / 2^shift rounded to nearest, ties to even.
func roundEven(x uint32, shift int) uint32 {
	half, rest := uint32(1)<<(shift-1), x&(1<<shift-1)
	q := x >> shift
	if rest > half || rest == half && q&1 == 1 {
		q++
	}
	return q
}

// convertTensor is t, of floating-point elements, in the 16-bit type d, computed when it is written.
func convertTensor(t *graph.Tensor, d graph.DType) *graph.Tensor {
	if t.DType == d {
		return t
	}
	round := bfloat16Bits
	if d == graph.Float16 {
		round = float16Bits
	}
	out := *t
	out.DType = d
	out.Data = graph.Derived{Length: 2 * t.Len(), Write: func(w io.Writer) error {
		values, err := t.Float32s()
		if err != nil {
			return err
		}
		bytes := make([]byte, 0, 2*len(values))
		for _, f := range values {
			h := round(f)
			bytes = append(bytes, byte(h), byte(h>>8))
		}
		_, err = w.Write(bytes)
		return err
	}}
	return &out
}
