package pass

import (
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
	return graph.Convert(t, d)
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
	v := l.scratch.AddInitializer(graph.Transpose(w.Init))
	l.transposed[w] = v
	return v, nil
}
