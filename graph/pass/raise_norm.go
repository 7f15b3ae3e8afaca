package pass

import (
	"slices"

	"graft/graph"
)

// variance matches mean(d²) over the last axis.
func variance(d pattern) pattern {
	return lastMean(either(is("Pow", d, num(2)), is("Mul", d, d)))
}

// standardized matches d / sqrt(v + eps) in the forms that exporters write.
func standardized(d, v pattern) pattern {
	sum := add(v, anyNumber(epsSlot))
	root := either(is("Sqrt", sum), is("Pow", sum, num(0.5)))
	return either(
		div(d, root),
		mul(d, is("Reciprocal", root)),
		mul(d, div(num(1), root)),
		mul(d, is("Pow", sum, num(-0.5))),
	)
}

var (
	// x − mean(x), where the mean may be taken twice.
	centered = sub(any1(xSlot), lastMean(any1(xSlot)))

	// torch.nn.LayerNorm before opset 17: ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add.
	layerNormGain = mul(standardized(centered, variance(centered)), vector(gainSlot))
	layerNorm     = add(layerNormGain, vector(biasSlot))

	// LlamaRMSNorm of transformers: Pow, ReduceMean, Add, Sqrt, Reciprocal or Div, Mul, Mul.
	rmsNorm = mul(standardized(any1(xSlot), variance(any1(xSlot))), vector(gainSlot))
)

func raiseLayerNorm(r *raiser, b *bindings) *graph.Value {
	in := []*graph.Value{b.value[xSlot], b.value[gainSlot]}
	if bias := b.value[biasSlot]; bias != nil {
		in = append(in, bias)
	}
	return r.b.Op("LayerNormalization", in, graph.IntAttr("axis", -1), graph.FloatAttr("epsilon", float32(b.number[epsSlot])))
}

func raiseRMSNorm(r *raiser, b *bindings) *graph.Value {
	in := []*graph.Value{b.value[xSlot], b.value[gainSlot]}
	return r.b.Op("RMSNormalization", in, graph.IntAttr("axis", -1), graph.FloatAttr("epsilon", float32(b.number[epsSlot])))
}

// dropZeroBiases takes the bias from norms that have none: exporters write it as a Constant of zeros, since their opset wants one
// (ModernBERT). Biases that a file holds as weights stay, whatever their numbers.
func dropZeroBiases(m *graph.Model) {
	m.Graph.Walk(func(n *graph.Node) {
		if !n.Is("LayerNormalization") || !writer(n.Input(2)).Is("Constant") {
			return
		}
		a := writer(n.Input(2)).Attr("value")
		if a == nil || a.Tensor == nil || !a.Tensor.DType.IsFloat() || a.Tensor.Len() > maxConstant {
			return
		}
		bias, err := a.Tensor.Float32s()
		if err == nil && !slices.ContainsFunc(bias, func(x float32) bool { return x != 0 }) {
			n.Inputs = n.Inputs[:2]
		}
	})
}
