package pass

import (
	"slices"

	"graft/graph"
)

// rowwise are the operators that work on each token by itself, so that it does not matter whether tokens are counted by one axis or two.
var rowwise = []string{"LayerNormalization", "RMSNormalization", "Gelu", "Relu", "Tanh", "Sigmoid", "Erf", "Dropout", "Identity", "Cast",
	"Add", "Sub", "Mul", "Div", "Pow"}

// raiseRows gives its two axes back to what exporters compute of all tokens in a row, as GPT-2 and OPT do:
//
//	f(reshape(x, [batch·seq, features])) = reshape(f(x), [batch·seq, features])
//
// so that in the end the reshape back stands behind the reshape, and both go.
func raiseRows(r *raiser, n *graph.Node) []*graph.Value {
	if len(n.Outputs) == 0 || !n.Is(n.Op) {
		return nil
	}
	x := rowsOf(n.Input(0))
	if x == nil && len(n.Inputs) > 1 {
		x = rowsOf(n.Input(1))
	}
	out := n.Outputs[0].Shape()
	switch {
	case x == nil:
		return nil
	case n.Is("Reshape"):
		if !slices.Equal(out, x.Shape()) || slices.Contains(out, graph.AnyDim) {
			return nil
		}
		return []*graph.Value{x}
	case len(out) != 2 || !out[1].Known() || len(n.Outputs) > 1:
		return nil
	}
	y := r.onTokens(n)
	if y == nil {
		return nil
	}
	y.Type = graph.TensorType(n.Outputs[0].DType(), x.Shape()[0], x.Shape()[1], out[1])
	return []*graph.Value{r.b.Reshape(y, -1, out[1].Size)}
}

// rowsOf is x, [batch, seq, features], where v is x as [batch·seq, features].
func rowsOf(v *graph.Value) *graph.Value {
	n := writer(v)
	if !n.Is("Reshape") || len(v.Shape()) != 2 {
		return nil
	}
	x := source(n.Input(0))
	if from := x.Shape(); len(from) != 3 || !from[2].Known() || from[2] != v.Shape()[1] {
		return nil
	}
	return x
}

// onTokens is what n computes of tokens, with both of their axes; nil where it does not work on each by itself.
func (r *raiser) onTokens(n *graph.Node) *graph.Value {
	x := rowsOf(n.Input(0))
	switch {
	case n.Is("Gemm") && x != nil && n.Int("transA", 0) == 0 && n.Float("alpha", 1) == 1 && n.Float("beta", 1) == 1 && n.Input(1).Const() != nil:
		w := n.Input(1)
		if n.Int("transB", 0) == 1 {
			w = r.b.Transpose(w, 1, 0)
		}
		y := r.b.MatMul(x, w)
		if bias := n.Input(2); bias != nil {
			y = r.b.Add(y, bias)
		}
		return y
	case n.Is("MatMul") && x != nil && n.Input(1).Const() != nil && len(n.Input(1).Shape()) == 2:
		return r.b.MatMul(x, n.Input(1))
	case !slices.Contains(rowwise, n.Op) || n.Attr("axis") != nil && !lastAxis(n.Int("axis", -1), n.Outputs[0]):
		return nil
	}
	in := slices.Clone(n.Inputs)
	for i, v := range in {
		if x := rowsOf(v); x != nil {
			in[i] = x
		} else if v != nil && (v.Const() == nil || len(v.Shape()) > 1) {
			return nil
		}
	}
	return r.b.Op(n.Op, in, n.Attrs...)
}
