package pass

import (
	"fmt"
	"math"

	"graft/graph"
)

// normAxes are the axes that a normalization reduces over: from the attribute axis to the last.
func normAxes(n *graph.Node) ([]int64, error) {
	axis := n.Int("axis", -1)
	if axis == -1 {
		return []int64{-1}, nil
	}
	rank := int64(len(n.Input(0).Shape()))
	if n.Input(0).Shape() == nil {
		return nil, fmt.Errorf("axis %d of a value of unknown rank", axis)
	}
	if axis < 0 {
		axis += rank
	}
	var axes []int64
	for i := axis; i < rank; i++ {
		axes = append(axes, i)
	}
	return axes, nil
}

// mean is the mean of x over axes, kept as axes of size 1.
func (l *lowerer) mean(x *graph.Value, axes []int64) *graph.Value {
	return l.b.Op("ReduceMean", []*graph.Value{x, l.b.Int64s(axes...)}, graph.IntAttr("keepdims", 1))
}

// scaleByRMS is x / sqrt(mean(x²) + eps), written as ONNX Runtime's LayerNormFusion and
// SimplifiedLayerNormFusion expect it: Pow rather than Mul, Div rather than Reciprocal.
func (l *lowerer) scaleByRMS(x *graph.Value, axes []int64, eps float32) *graph.Value {
	return l.b.Div(x, l.b.Op("Sqrt", []*graph.Value{l.meanSquare(x, axes, eps)}))
}

// meanSquare is mean(x²) + eps.
func (l *lowerer) meanSquare(x *graph.Value, axes []int64, eps float32) *graph.Value {
	square := l.b.Op("Pow", []*graph.Value{x, l.scalar(x, 2)})
	return l.b.Add(l.mean(square, axes), l.scalar(x, float64(eps)))
}

// lowerLayerNorm: (x − mean) / sqrt(var + eps) · gain + bias.
func lowerLayerNorm(l *lowerer, n *graph.Node) (*graph.Value, error) {
	if err := l.onlyFirst(n); err != nil {
		return nil, err
	}
	axes, err := normAxes(n)
	if err != nil {
		return nil, err
	}
	x := n.Input(0)
	y := l.scaleByRMS(l.b.Sub(x, l.mean(x, axes)), axes, n.Float("epsilon", 1e-5))
	y = l.b.Mul(y, n.Input(1))
	if bias := n.Input(2); bias != nil {
		y = l.b.Add(y, bias)
	}
	return y, nil
}

// lowerRMSNorm: x / sqrt(mean(x²) + eps) · gain.
func lowerRMSNorm(l *lowerer, n *graph.Node) (*graph.Value, error) {
	axes, err := normAxes(n)
	if err != nil {
		return nil, err
	}
	scale := l.scaleByRMS
	if gain := n.Input(1).Shape(); len(gain) == 1 && gain[0].Known() && gain[0].Size < narrowest {
		scale = l.scaleByPower
	}
	return l.b.Mul(scale(n.Input(0), axes, n.Float("epsilon", 1e-5)), n.Input(1)), nil
}

// narrowest is the fewest numbers that OpenVINO 2025.4 normalizes by their RMS in one kernel without reading beyond
// its memory: a register's worth of float32.
const narrowest = 16

// scaleByPower is scaleByRMS in a form of which OpenVINO makes no kernel, its root a power.
func (l *lowerer) scaleByPower(x *graph.Value, axes []int64, eps float32) *graph.Value {
	return l.b.Div(x, l.b.Op("Pow", []*graph.Value{l.meanSquare(x, axes, eps), l.scalar(x, 0.5)}))
}

// lowerGelu writes the forms that ONNX Runtime's GeluFusion and FastGeluFusion expect. The
// tanh form is the one without x³, which would overflow in float16 from 41 on.
func lowerGelu(l *lowerer, n *graph.Node) (*graph.Value, error) {
	x, b := n.Input(0), l.b
	one, half := l.scalar(x, 1), l.scalar(x, 0.5)
	switch kind := n.Str("approximate", "none"); kind {
	case "none": // x · (1 + erf(x/√2)) · 0.5
		erf := b.Op("Erf", []*graph.Value{b.Div(x, l.scalar(x, math.Sqrt2))})
		return b.Mul(b.Mul(x, b.Add(erf, one)), half), nil
	case "tanh": // 0.5·x · (1 + tanh(√(2/π)·x · (1 + 0.044715·x·x)))
		inner := b.Add(b.Mul(b.Mul(x, l.scalar(x, 0.044715)), x), one)
		tanh := b.Op("Tanh", []*graph.Value{b.Mul(b.Mul(x, l.scalar(x, math.Sqrt(2/math.Pi))), inner)})
		return b.Mul(b.Mul(x, half), b.Add(tanh, one)), nil
	default:
		return nil, fmt.Errorf("approximation %q, want none or tanh", kind)
	}
}

// lowerDropout passes the input on. A node whose mask is read, or that may be training, stays.
func lowerDropout(l *lowerer, n *graph.Node) (*graph.Value, error) {
	if l.onlyFirst(n) != nil || n.Input(2) != nil && n.Input(2).Const() == nil {
		return nil, nil
	}
	if mode := n.Input(2).Const(); mode != nil {
		if training, err := mode.Int64s(); err != nil || len(training) != 1 || training[0] != 0 {
			return nil, err
		}
	}
	return n.Input(0), nil
}
