package quantize

import "graft/graph"

// applyDynamic multiplies in int8 with a scale for each token, taken as it runs: u = round(127·x/max|x|) + 128 in
// uint8, and y = (u - 128)·W·(max|x|/127)·scale of W. DynamicQuantizeLinear, the usual operator, takes one range
// for the whole batch, so that a text's vector depends on the texts beside it; MatMulNBits at
// accuracy_level 4 has ranges for each token, but measures no faster than float32.
func applyDynamic(j *job) error {
	rounded := map[*graph.Value]*tokens{}
	most := float32(mostCode)
	if j.ReduceRange {
		most = reducedCode
	}
	for _, m := range j.matrices {
		r := roundChannels(m.values, m.k, m.n, most)
		parts := j.channelParts(m, r)
		for _, n := range m.nodes {
			x := n.Inputs[0]
			if rounded[x] == nil {
				rounded[x] = j.roundTokens(x)
			}
			j.multiply(n, rounded[x], parts[0], parts[1])
		}
		j.rounded(m, "int8 per column, activations int8 per token", r)
	}
	return nil
}

// tokens is a value in uint8 around 128, with a scale for each token.
type tokens struct {
	codes *graph.Value // [batch, sequence, features]
	scale *graph.Value // [batch, sequence, 1]
	zero  *graph.Value // 128
}

// leastScale keeps a token of zeros from being divided by 0.
const leastScale = 1e-20

// roundTokens appends the rounding of x.
func (j *job) roundTokens(x *graph.Value) *tokens {
	b := j.b.Scope("%s", x.Name)
	largest := b.Op("ReduceMax", []*graph.Value{b.Op("Abs", []*graph.Value{x})}, graph.IntsAttr("axes", -1), graph.IntAttr("keepdims", 1))
	scale := b.Op("Max", []*graph.Value{b.Mul(largest, b.Scalar(1.0/mostCode)), b.Scalar(leastScale)})
	shifted := b.Add(b.Op("Round", []*graph.Value{b.Div(x, scale)}), b.Scalar(128))
	return &tokens{b.Cast(shifted, graph.Uint8), scale, j.b.Const(graph.NewTensor(x.Name+"_zero_point", []uint8{128}))}
}

// multiply makes n, a MatMul, the product of codes, scaled back.
func (j *job) multiply(n *graph.Node, x *tokens, codes, scales *graph.Value) {
	b, y := j.b.Scope("%s", n.Name), n.Outputs[0]
	sums := b.Cast(b.Op("MatMulInteger", []*graph.Value{x.codes, codes, x.zero}), graph.Float)
	product := b.Mul(b.Mul(sums, scales), x.scale)
	product.Def().SetOutput(0, y)
	j.model.Graph.Remove(func(m *graph.Node) bool { return m == n })
}
