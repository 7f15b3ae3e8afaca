package pass

import (
	"math"

	"graft/graph"
)

var (
	in   = any1(xSlot)
	half = num(0.5)
	one  = num(1)

	// torch.nn.functional.gelu: x · ½ · (1 + erf(x/√2)), its three factors in any order.
	geluErf = either(
		mul3(in, half, add(is("Erf", either(div(in, num(math.Sqrt2)), mul(in, num(1/math.Sqrt2)))), one)),
		div(mul(in, add(is("Erf", either(div(in, num(math.Sqrt2)), mul(in, num(1/math.Sqrt2)))), one)), num(2)),
	)

	// NewGELUActivation, FastGELUActivation of transformers and gelu(approximate="tanh"):
	// ½ · x · (1 + tanh(√(2/π) · (x + 0.044715·x³))), also with x taken out of the sum.
	geluTanh = mul3(in, half, add(is("Tanh", tanhArgument), one))

	tanhArgument = either(
		mul(root2OverPi, add(in, mul(num(0.044715), cube))),
		mul(mul(root2OverPi, in), add(mul3(num(0.044715), in, in), one)),
		mul(mul(root2OverPi, in), add(mul(num(0.044715), is("Pow", in, num(2))), one)),
	)
	root2OverPi = num(math.Sqrt(2 / math.Pi))
	cube        = either(is("Pow", in, num(3)), mul(mul(in, in), in))
)

func raiseGeluErf(r *raiser, b *bindings) *graph.Value {
	return r.b.Op("Gelu", []*graph.Value{b.value[xSlot]})
}

func raiseGeluTanh(r *raiser, b *bindings) *graph.Value {
	return r.b.Op("Gelu", []*graph.Value{b.value[xSlot]}, graph.StrAttr("approximate", "tanh"))
}
