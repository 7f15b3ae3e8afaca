//go:build !lite

package torch

import (
	"graft/graph"
)

// fusedDomain holds the operators that fuse makes of several nodes, or of a node and what is known of its inputs.
const fusedDomain = "libtorch"

// fuse replaces formulas by the calls that libtorch has for them. What is left of a formula and not read by
// others is dead afterwards.
func fuse(g *graph.Graph) {
	f := &fuser{graph: g}
	for _, rewrite := range []func(*graph.Node) *graph.Node{f.linear, f.bias, f.silu} {
		f.uses = g.Uses()
		for i, n := range g.Nodes {
			if made := rewrite(n); made != nil {
				made.Name = n.Name
				made.SetOutput(0, n.Outputs[0])
				g.Nodes[i] = made
			}
		}
	}
	g.WalkGraphs(f.masks)
}

type fuser struct {
	graph *graph.Graph
	uses  map[*graph.Value][]graph.Use
}

func fused(op string, in []*graph.Value, attrs ...graph.Attr) *graph.Node {
	return &graph.Node{Op: op, Domain: fusedDomain, Inputs: in, Attrs: attrs}
}

// linear makes Linear of a product with a weight matrix. The weight is used as it is stored: [out, in] where the
// product reads it through a Transpose, else [in, out], which the attribute "transposed" says.
func (f *fuser) linear(n *graph.Node) *graph.Node {
	if !n.Is("MatMul") {
		return nil
	}
	x, w := n.Inputs[0], n.Inputs[1]
	if t := w.Def(); t.Is("Transpose") && isMatrix(t.Inputs[0]) {
		return fused("Linear", []*graph.Value{x, t.Inputs[0]})
	}
	if isMatrix(w) {
		return fused("Linear", []*graph.Value{x, w}, graph.IntAttr("transposed", 1))
	}
	return nil
}

// isMatrix reports whether v is a constant of rank 2.
func isMatrix(v *graph.Value) bool {
	return v.Init != nil && len(v.Init.Shape) == 2 && v.Init.DType.IsFloat()
}

// bias joins a Linear with the vector that is added to it.
func (f *fuser) bias(n *graph.Node) *graph.Node {
	if !n.Is("Add") {
		return nil
	}
	for i := range 2 {
		y, b := n.Inputs[i], n.Inputs[1-i]
		product := y.Def()
		if product == nil || product.Domain != fusedDomain || product.Op != "Linear" || len(product.Inputs) != 2 || !f.readOnce(y) {
			continue
		}
		w := product.Inputs[1].Init
		width := w.Shape[0]
		if product.Int("transposed", 0) != 0 {
			width = w.Shape[1]
		}
		if b.Init != nil && len(b.Init.Shape) == 1 && b.Init.Shape[0] == width {
			return fused("Linear", []*graph.Value{product.Inputs[0], product.Inputs[1], b}, product.Attrs...)
		}
	}
	return nil
}

// readOnce reports whether one node reads v and v is no output.
func (f *fuser) readOnce(v *graph.Value) bool { return len(f.uses[v]) == 1 && !f.graph.IsOutput(v) }

// silu is x · sigmoid(x) (Elfwing et al. 2018).
func (f *fuser) silu(n *graph.Node) *graph.Node {
	if !n.Is("Mul") {
		return nil
	}
	for i := range 2 {
		if s := n.Inputs[i].Def(); s.Is("Sigmoid") && s.Inputs[0] == n.Inputs[1-i] {
			return fused("Silu", []*graph.Value{n.Inputs[1-i]})
		}
	}
	return nil
}

// masks puts a node AttentionMask before the attention nodes that share a mask, so that what it costs is paid once a
// run and not once a layer. Branches of If have their own.
func (f *fuser) masks(g *graph.Graph) {
	made := map[*graph.Value]*graph.Value{}
	var nodes []*graph.Node
	for _, n := range g.Nodes {
		if mask := n.Input(3); n.Is("Attention") && mask != nil {
			if made[mask] == nil {
				made[mask] = graph.NewValue(mask.Name+"/additive", nil)
				prepare := fused("AttentionMask", []*graph.Value{mask, f.graph.Input("attention_mask")})
				prepare.Name = n.Name
				prepare.SetOutput(0, made[mask])
				nodes = append(nodes, prepare)
			}
			n.Inputs[3] = made[mask]
		}
		nodes = append(nodes, n)
	}
	g.Nodes = nodes
}
