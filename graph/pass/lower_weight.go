package pass

import (
	"io"
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

// convertTensor is t, of floating-point elements, in the 16-bit type d, computed when it is written.
func convertTensor(t *graph.Tensor, d graph.DType) *graph.Tensor {
	if t.DType == d {
		return t
	}
	round := graph.Float32ToBFloat16
	if d == graph.Float16 {
		round = graph.Float32ToFloat16
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
