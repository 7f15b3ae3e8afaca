package pass

import (
	"fmt"
	"slices"

	"graft/graph"
)

// narrowing says when an operator computes in 16 bits. What has no entry computes in float32:
// norms, softmax, means and the residual stream, whose sums reach numbers that float16 does not
// hold (onnxruntime issues 32600, 26732) and lose digits in bfloat16; and angles of positions.
var narrowing = map[string]func(*narrower, *graph.Node) bool{
	"MatMul": (*narrower).product,
	"Gemm":   (*narrower).product,
	"Gather": func(_ *narrower, n *graph.Node) bool { return n.Input(0).Init != nil }, // an embedding table

	// Between the products, as what they read.
	"Add": (*narrower).biased, "Sub": (*narrower).biased, "Mul": (*narrower).follows, "Div": (*narrower).follows,
	"Gelu": (*narrower).follows, "Erf": (*narrower).follows, "Tanh": (*narrower).follows, "Sigmoid": (*narrower).follows, "Relu": (*narrower).follows,
	"Neg": (*narrower).follows, "Identity": (*narrower).follows, "Reshape": (*narrower).follows, "Transpose": (*narrower).follows,
	"Split": (*narrower).follows, "Concat": (*narrower).follows, "Slice": (*narrower).follows, "Expand": (*narrower).follows,
	"Unsqueeze": (*narrower).follows, "Squeeze": (*narrower).follows,
}

// narrowingContrib are ONNX Runtime's own operators, whose CUDA kernels sum in float32.
var narrowingContrib = []string{"MultiHeadAttention", "GroupQueryAttention", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "BiasGelu", "FastGelu"}

// narrower rewrites a graph of float32 so that its products are computed in a 16-bit type.
type narrower struct {
	*rewriter
	to     graph.DType
	narrow map[*graph.Value]bool // written in 16 bits
	cast   map[*graph.Value]*graph.Value
	nested map[*graph.Value]bool // read by a subgraph, whose types stay
}

// narrowModel makes m, lowered and in the forms of irOpset, compute its products in d and store
// its matrices so. Inputs and outputs keep their types.
func narrowModel(m *graph.Model, d graph.DType) error {
	if err := graph.Infer(m); err != nil {
		return err
	}
	r := &narrower{rewriter: newRewriter(m), to: d, narrow: map[*graph.Value]bool{}, cast: map[*graph.Value]*graph.Value{}, nested: nestedReads(m.Graph)}
	r.graph = m.Graph
	var nodes []*graph.Node
	for _, n := range m.Graph.Nodes {
		r.scratch.Nodes = nil
		after := r.node(n)
		nodes = append(append(nodes, r.scratch.Nodes...), n)
		nodes = append(nodes, after...)
	}
	m.Graph.Nodes = nodes
	m.Graph.Initializers = append(m.Graph.Initializers, r.scratch.Initializers...)
	if _, err := removeDead(m); err != nil {
		return err
	}
	return r.b.Err()
}

// nestedReads are the values that subgraphs read.
func nestedReads(g *graph.Graph) map[*graph.Value]bool {
	nested := make(map[*graph.Value]bool)
	for _, n := range g.Nodes {
		subgraphs(n, func(s *graph.Graph) {
			s.Walk(func(m *graph.Node) {
				for _, v := range m.Inputs {
					nested[v] = true
				}
			})
			for _, v := range s.Outputs {
				nested[v] = true
			}
		})
	}
	return nested
}

// node gives n its inputs in the type that it computes in, and returns what has to stand
// behind it.
func (r *narrower) node(n *graph.Node) (after []*graph.Node) {
	narrow := r.narrows(n)
	for i, v := range n.Inputs {
		switch {
		case v == nil || v.DType() != graph.Float:
		case narrow && !r.narrow[v]:
			n.Inputs[i] = r.converted(v, r.to)
		case !narrow && r.narrow[v]:
			n.Inputs[i] = r.converted(v, graph.Float)
		}
	}
	if !narrow {
		return nil
	}
	for i, v := range n.Outputs {
		if v == nil || v.DType() != graph.Float {
			continue
		}
		if !r.graph.IsOutput(v) && !r.nested[v] {
			r.narrow[v] = true
			continue
		}
		// A contract in float32: the node writes another value, and this one is its cast.
		n.SetOutput(i, graph.NewValue(v.Name+"/"+r.to.String(), nil))
		c := graph.NewNode("Cast", []*graph.Value{n.Outputs[i]}, []*graph.Value{v}, graph.IntAttr("to", int64(graph.Float)))
		c.Name = v.Name + "/Cast"
		after = append(after, c)
	}
	return after
}

// narrows reports whether n computes in 16 bits.
func (r *narrower) narrows(n *graph.Node) bool {
	if len(n.Inputs) == 0 || n.Input(0) == nil || n.Input(0).DType() != graph.Float {
		return false
	}
	if n.Domain == graph.Microsoft {
		return slices.Contains(narrowingContrib, n.Op)
	}
	f := narrowing[n.Op]
	return f != nil && n.Is(n.Op) && f(r, n)
}

// product: with a weight, between heads, or of something in 16 bits; not the products of
// positions and frequencies.
func (r *narrower) product(n *graph.Node) bool {
	x, y := n.Input(0), n.Input(1)
	weight := y.Const() != nil && len(y.Shape()) == 2
	return weight || r.narrow[x] || r.narrow[y] || len(x.Shape()) == 4 && len(y.Shape()) == 4
}

// follows: everything that is not constant is in 16 bits.
func (r *narrower) follows(n *graph.Node) bool {
	found := false
	for _, v := range n.Inputs {
		if v == nil || v.DType() != graph.Float || v.Const() != nil {
			continue
		}
		if !r.narrow[v] {
			return false
		}
		found = true
	}
	return found
}

// biased: a sum with a constant; any other may be the residual stream.
func (r *narrower) biased(n *graph.Node) bool {
	return (n.Input(0).Const() != nil || n.Input(1).Const() != nil) && r.follows(n)
}

// converted is v as d: another constant, or the result of a Cast.
func (r *narrower) converted(v *graph.Value, d graph.DType) *graph.Value {
	if c := r.cast[v]; c != nil {
		return c
	}
	var c *graph.Value
	if t := v.Const(); t != nil {
		t = graph.Convert(t, d)
		t.Name = fmt.Sprintf("%s.%v", v.Name, d)
		c = r.scratch.AddInitializer(t)
	} else {
		c = r.b.Cast(v, d)
	}
	r.cast[v] = c
	return c
}
