package pass

import (
	"io"
	"math"

	"graft/graph"
)

// lowerBF16Product writes products so that OpenVINO, asked for bfloat16, loses less by it. Half of
// what bfloat16 changes in MiniLM's vectors comes from the rounding of its weights, half of that
// from the last third of them. To split all costs a quarter of the speed (docs/benchmarks.md).
func lowerBF16Product(l *lowerer, n *graph.Node) (*graph.Value, error) {
	if l.late == nil {
		l.late = lateProducts(l.graph)
	}
	x, w := n.Input(0), n.Input(1)
	switch {
	case l.late[n] && w.Init != nil:
		return l.splitProduct(x, w), nil
	case len(x.Shape()) == 3 && len(w.Shape()) == 3 && axisSize(x, 1) == 1 && w.DType() == graph.Float:
		return l.weightedSum(x, w), nil
	}
	return nil, nil
}

// lateProducts are the last third of g's products with weights, as they are stored or transposed.
func lateProducts(g *graph.Graph) map[*graph.Node]bool {
	var products []*graph.Node
	for _, n := range g.Nodes {
		if !n.Is("MatMul") {
			continue
		}
		w := n.Input(1)
		if d := w.Def(); d.Is("Transpose") {
			w = d.Input(0)
		}
		if w.Init != nil && len(w.Init.Shape) == 2 && w.Init.DType == graph.Float && g.Input(w.Name) == nil {
			products = append(products, n)
		}
	}
	late := make(map[*graph.Node]bool)
	for _, n := range products[len(products)-len(products)/3:] {
		late[n] = true
	}
	return late
}

// splitProduct is x·w as [x, x]·[high; low], where high is w rounded to bfloat16 and low the
// rest: together they hold 16 bits of each number of w, and the product sums both in float32.
func (l *lowerer) splitProduct(x, w *graph.Value) *graph.Value {
	twice := l.once(sharedKey{what: "twice", of: x}, func() *graph.Value {
		return l.b.Op("Concat", []*graph.Value{x, x}, graph.IntAttr("axis", -1))
	})
	split := l.once(sharedKey{what: "split", of: w}, func() *graph.Value {
		return l.scratch.AddInitializer(splitTensor(w.Init))
	})
	return l.b.MatMul(twice, split)
}

// weightedSum is w·x, of one row of weights for each text, [batch, 1, n]·[batch, n, features],
// which is how token vectors are pooled, without a matrix product. OpenVINO narrows all values but
// those from which an output is reached without another product (Graph::EnforceInferencePrecision
// of its CPU plugin). With no product at the end, these are the sums and norms of the residual
// stream, and the pooled vector.
func (l *lowerer) weightedSum(w, x *graph.Value) *graph.Value {
	return l.b.ReduceSum(l.b.Mul(l.b.Reshape(w, 0, -1, 1), x), true, 1)
}

// splitTensor is [high; low] of the matrix t, called "<name>.split", computed when it is written.
func splitTensor(t *graph.Tensor) *graph.Tensor {
	out := &graph.Tensor{Name: t.Name + ".split", DType: t.DType, Shape: []int64{2 * t.Shape[0], t.Shape[1]}, Metadata: t.Metadata}
	out.Data = graph.Derived{Length: 2 * t.Size(), Write: func(w io.Writer) error {
		values, err := t.Float32s()
		if err != nil {
			return err
		}
		high, low := make([]float32, len(values)), make([]float32, len(values))
		for i, f := range values {
			high[i] = math.Float32frombits(uint32(graph.Float32ToBFloat16(f)) << 16)
			low[i] = f - high[i]
		}
		for _, part := range [][]float32{high, low} {
			bytes, err := graph.NewTensor(out.Name, part, t.Shape...).Bytes()
			if err != nil {
				return err
			}
			if _, err := w.Write(bytes); err != nil {
				return err
			}
		}
		return nil
	}}
	return out
}
