package pass

import (
	"slices"

	"graft/graph"
)

// This file lowers to ONNX Runtime's own operators (docs/ContribOperators.md there). What they
// do not cover is written in plain operators.

// contribOp appends an operator of com.microsoft and returns its first output.
func (l *lowerer) contribOp(op string, in []*graph.Value, attrs ...graph.Attr) *graph.Value {
	return l.b.OpN(graph.Microsoft, op, 1, in, attrs...)[0]
}

// paddingMask is the value [batch, key], bool or of 0 and 1, of which mask, [batch, 1, 1, key],
// is a view.
func paddingMask(mask *graph.Value) (keys *graph.Value, ok bool) {
	if mask == nil {
		return nil, false
	}
	shape := mask.Shape()
	if len(shape) != 4 || shape[1].Size != 1 || shape[2].Size != 1 || mask.DType() != graph.Bool {
		return nil, false
	}
	v := source(mask)
	for v.Def().Is("Unsqueeze") || v.Def().Is("Cast") && len(v.Shape()) > 2 {
		v = source(v.Def().Input(0))
	}
	return v, len(v.Shape()) == 2 && !v.DType().IsFloat()
}

// keyMask is keys in the form that the target's kernels are fast with: for CUDA the number of
// keys of each text, which its fused kernels need and which says that padding is on the right;
// for others [batch, key] of 0 and 1.
func (l *lowerer) keyMask(keys *graph.Value) *graph.Value {
	return l.once(sharedKey{what: "key mask", of: keys}, func() *graph.Value {
		if keys.DType() != graph.Bool {
			keys = l.b.Cast(keys, graph.Bool)
		}
		mask := l.b.Cast(keys, graph.Int32)
		if l.Target == CUDA {
			return l.b.ReduceSum(mask, false, 1)
		}
		return mask
	})
}

// sumOf takes v apart where it is a sum of two values of its own shape.
func sumOf(v *graph.Value) (x, y *graph.Value, ok bool) {
	n := v.Def()
	if !n.Is("Add") || len(v.Shape()) != 3 {
		return nil, nil, false
	}
	x, y = n.Input(0), n.Input(1)
	return x, y, slices.Equal(x.Shape(), v.Shape()) && slices.Equal(y.Shape(), v.Shape())
}

// biasOf takes v apart where it is the sum of a value and a vector.
func biasOf(v *graph.Value) (x, bias *graph.Value) {
	n := v.Def()
	if !n.Is("Add") {
		return v, nil
	}
	for i := range 2 {
		if b := n.Input(i); b.Init != nil && len(b.Init.Shape) == 1 && slices.Equal(n.Input(1-i).Shape(), v.Shape()) {
			return n.Input(1 - i), b
		}
	}
	return v, nil
}

// lowerSkipLayerNorm writes the norm of a residual sum as SkipLayerNormalization, which adds,
// the bias of the product before it included, and normalizes in one pass over memory.
func lowerSkipLayerNorm(l *lowerer, n *graph.Node) (*graph.Value, error) {
	return l.skipNorm(n, "SkipLayerNormalization", n.Input(2), plainLayerNorm)
}

func lowerSkipRMSNorm(l *lowerer, n *graph.Node) (*graph.Value, error) {
	return l.skipNorm(n, "SkipSimplifiedLayerNormalization", nil, lowerRMSNorm)
}

func plainLayerNorm(l *lowerer, n *graph.Node) (*graph.Value, error) {
	if l.Opset >= 17 {
		return nil, nil
	}
	return lowerLayerNorm(l, n)
}

func (l *lowerer) skipNorm(n *graph.Node, op string, beta *graph.Value, plain func(*lowerer, *graph.Node) (*graph.Value, error)) (*graph.Value, error) {
	sum := n.Input(0)
	x, skip, ok := sumOf(sum)
	axis := n.Int("axis", -1)
	if !ok || axis != -1 && axis != 2 || l.onlyFirst(n) != nil {
		return plain(l, n)
	}
	x, bias := biasOf(x)
	if bias == nil {
		if y, b := biasOf(skip); b != nil {
			x, skip, bias = y, x, b
		}
	}
	in := []*graph.Value{x, skip, n.Input(1)}
	if op == "SkipLayerNormalization" {
		in = append(in, beta)
	}
	if bias != nil {
		in = append(in, bias)
	}
	for in[len(in)-1] == nil {
		in = in[:len(in)-1]
	}
	y := l.contribOp(op, in, graph.FloatAttr("epsilon", n.Float("epsilon", 1e-5)))
	if len(l.uses[sum]) > 1 || l.graph.IsOutput(sum) {
		y.Def().SetOutput(3, sum) // the node writes the sum for its other readers
	}
	return y, nil
}

// lowerBiasGelu writes GELU of a product's sum with its bias in one pass over memory.
func lowerBiasGelu(l *lowerer, n *graph.Node) (*graph.Value, error) {
	op := map[string]string{"none": "BiasGelu", "tanh": "FastGelu"}[n.Str("approximate", "none")]
	x, bias := biasOf(n.Input(0))
	if bias == nil || op == "" {
		if l.Opset >= 20 {
			return nil, nil
		}
		return lowerGelu(l, n)
	}
	return l.contribOp(op, []*graph.Value{x, bias}), nil
}
