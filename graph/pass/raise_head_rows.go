package pass

import (
	"slices"

	"graft/graph"
)

// raiseHeadRows gives heads an axis of their own where an exporter counts them along with the texts, as BLOOM and DeBERTa do:
//
//	f(reshape(x, [batch·heads, seq, n])) = reshape(f(x), [batch·heads, …])
//
// so that in the end the reshape back stands behind the reshape, and both go.
func raiseHeadRows(r *raiser, n *graph.Node) []*graph.Value {
	if len(n.Outputs) != 1 || len(n.Inputs) == 0 || !n.Is(n.Op) {
		return nil
	}
	first := headRowsOf(n.Input(0))
	if n.Is("Reshape") {
		if first == nil || !slices.Equal(n.Outputs[0].Shape(), first.Shape()) || slices.Contains(first.Shape(), graph.AnyDim) {
			return nil
		}
		return []*graph.Value{first}
	}
	out := n.Outputs[0].Shape()
	if len(out) != 3 {
		return nil
	}
	y := r.onHeads(n, first, headRowsOf(n.Input(1)))
	if y == nil {
		return nil
	}
	shape := first
	if shape == nil {
		shape = headRowsOf(n.Input(1))
	}
	y.Type = graph.TensorType(n.Outputs[0].DType(), shape.Shape()[0], shape.Shape()[1], out[1], out[2])
	sizes := r.b.Op("Shape", []*graph.Value{y}, graph.IntAttr("start", 2))
	return []*graph.Value{r.b.Op("Reshape", []*graph.Value{y, r.b.Op("Concat", []*graph.Value{r.b.Int64s(-1), sizes}, graph.IntAttr("axis", 0))})}
}

// headRowsOf is x, [batch, heads, seq, n], where v is x as [batch·heads, seq, n].
func headRowsOf(v *graph.Value) *graph.Value {
	n := writer(v)
	if n == nil || !n.Is("Reshape") || len(v.Shape()) != 3 {
		return nil
	}
	x := source(n.Input(0))
	from, to := x.Shape(), v.Shape()
	if len(from) != 4 || !from[1].Known() || from[2] != to[1] || from[3] != to[2] || to[1] == graph.AnyDim || to[2] == graph.AnyDim {
		return nil
	}
	return x
}

// onHeads is what n computes of a and b, its inputs with heads apart, nil where they are not rows of heads; nil where n does not work on
// each head by itself.
func (r *raiser) onHeads(n *graph.Node, a, b *graph.Value) *graph.Value {
	switch {
	case n.Is("Transpose") && a != nil && slices.Equal(n.Ints("perm"), []int64{0, 2, 1}):
		return r.b.Transpose(a, 0, 1, 3, 2)
	case n.Is("Softmax") && a != nil && lastAxis(n.Int("axis", -1), n.Outputs[0]):
		return r.b.Op("Softmax", []*graph.Value{a}, graph.IntAttr("axis", -1))
	case n.Is("MatMul") && a != nil && b != nil && slices.Equal(a.Shape()[:2], b.Shape()[:2]):
		return r.b.MatMul(a, b)
	case !n.Is("Add") && !n.Is("Sub") && !n.Is("Mul") && !n.Is("Div"):
		return nil
	case a != nil && b == nil:
		b = r.byHead(n.Input(1), a, n.Input(0))
	case a == nil && b != nil:
		a = r.byHead(n.Input(0), b, n.Input(1))
	}
	if a == nil || b == nil {
		return nil
	}
	return r.b.Op(n.Op, []*graph.Value{a, b})
}

// byHead is v, a number or as many rows of heads as rows, with heads apart as those of x; nil where it is neither.
func (r *raiser) byHead(v, x, rows *graph.Value) *graph.Value {
	if _, ok := number(v); ok {
		return v
	}
	shape := v.Shape()
	if len(shape) != 3 || shape[0] != rows.Shape()[0] || shape[0] == graph.AnyDim {
		return nil
	}
	sizes := r.b.Op("Shape", []*graph.Value{v}, graph.IntAttr("start", 1))
	apart := r.b.Op("Reshape", []*graph.Value{v, r.b.Op("Concat", []*graph.Value{r.b.Int64s(-1, x.Shape()[1].Size), sizes}, graph.IntAttr("axis", 0))})
	apart.Type = graph.TensorType(v.DType(), x.Shape()[0], x.Shape()[1], shape[1], shape[2])
	return apart
}
