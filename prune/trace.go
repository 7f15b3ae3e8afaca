package prune

import (
	"fmt"
	"slices"

	"graft/graph"
)

// A unit is a hidden part of a block: the neurons of its feed-forward network, or the heads of its
// attention. What leaves it goes through one product, whose weight has a row for each of its features.
type unit struct {
	layer     int
	out       product
	attention *graph.Node // nil for a feed-forward network
}

// features is the number of the unit's features: neurons, or heads times the size of one.
func (u *unit) features() int { return int(u.out.weight.Init.Shape[1-u.out.outAxis]) }

// product is a MatMul or Gemm with a weight.
type product struct {
	node    *graph.Node
	weight  *graph.Value // an initializer of two axes
	outAxis int          // the axis of the weight that becomes the result's last one
}

// productOf recognizes a product x·W, where W may be stored transposed.
func productOf(n *graph.Node) (product, bool) {
	if !n.Is("MatMul") && !(n.Is("Gemm") && n.Int("transA", 0) == 0 && n.Float("alpha", 1) == 1) {
		return product{}, false
	}
	p := product{node: n, weight: n.Input(1), outAxis: 1}
	if n.Is("Gemm") && n.Int("transB", 0) == 1 {
		p.outAxis = 0
	}
	if t := p.weight.Def(); t.Is("Transpose") && len(t.Input(0).Shape()) == 2 {
		p.weight, p.outAxis = t.Input(0), 1-p.outAxis
	}
	w := p.weight.Init
	return p, w != nil && len(w.Shape) == 2 && w.DType.IsFloat()
}

// elementwise are the operators that give each feature of their inputs' by itself, so that what is
// selected behind them can be selected before them.
var elementwise = []string{"Add", "Sub", "Mul", "Div", "Gelu", "Sigmoid", "Tanh", "Relu", "Erf", "Swish", "Softplus", "LeakyRelu", "Dropout", "Identity", "Cast"}

// units finds the attention and the feed-forward network of each layer: going back from each
// product, through what works on single features, one comes to the attention, or to other products. What is not found is an error
// where it is wanted.
func units(layers []graph.Layer, wantAttention, wantFFN bool) (attention, ffn []*unit, err error) {
	for i, l := range layers {
		var a, f *unit
		for _, linear := range l.Linears {
			p, ok := productOf(linear.Node)
			if !ok {
				continue
			}
			switch from, found := source(p.node.Input(0), &l); {
			case !found:
			case from.Is("Attention") && a == nil:
				a = &unit{layer: i, out: p, attention: from}
			case !from.Is("Attention") && f == nil:
				f = &unit{layer: i, out: p}
			}
		}
		switch {
		case a == nil && wantAttention:
			return nil, nil, fmt.Errorf("layer %d (%s): the way from its attention to the product behind it is not recognized", i, l.Name)
		case f == nil && wantFFN:
			return nil, nil, fmt.Errorf("layer %d (%s): its feed-forward network is not recognized", i, l.Name)
		}
		attention, ffn = append(attention, a), append(ffn, f)
	}
	return attention, ffn, nil
}

// source is what v's features come from: the Attention node, or a product. It is not found where the
// way leads to the block's input or through something that mixes features.
func source(v *graph.Value, l *graph.Layer) (*graph.Node, bool) {
	for v != l.Input && v.Def() != nil {
		n := v.Def()
		if _, ok := productOf(n); ok || n.Is("Attention") {
			return n, true
		}
		if !slices.ContainsFunc(elementwise, n.Is) && !n.Is("Slice") && !n.Is("Reshape") {
			return nil, false
		}
		next := n.Input(0)
		if next.Const() != nil {
			next = n.Input(1)
		}
		v = next
	}
	return nil, false
}
