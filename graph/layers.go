package graph

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// Layer is one transformer block of a graph: attention, a feed-forward network, and the
// residual stream that they read from and add to.
type Layer struct {
	Name      string // what the names of its weights begin with, such as "encoder.layer.3"; "" where they say nothing
	Input     *Value // the residual stream before the block, [batch, seq, hidden]
	Output    *Value // and after it: in post-norm models the result of the block's last norm
	Attention *Node
	Norms     []*Node  // LayerNormalization and RMSNormalization, those of single heads included, in order
	Linears   []Linear // products with a weight, in order

	join *Node // the Add of the attention's result to the residual stream
}

// Linear is a product with a constant matrix.
type Linear struct {
	Node   *Node  // MatMul, Gemm or MatMulInteger
	Weight *Value // the initializer: [in, out], or [out, in] where a Transpose stands before the product
}

// Layers finds the transformer blocks of m, first to last. Each is found from its Attention node
// by the residual stream: behind attention comes an Add whose other operand attention was
// computed from, and that operand is the block's input. This holds for post-norm blocks (BERT),
// pre-norm blocks (Llama) and blocks whose attention and feed-forward network run side by side
// (GPT-J). Where weights are named by layer, attention outside of the layers is left out.
//
// m must be in the IR's form, as it is built or as pass.Raise leaves it.
func Layers(m *Model) ([]Layer, error) {
	g := m.Graph
	f := &layerFinder{graph: g, place: make(map[*Node]int, len(g.Nodes)), uses: g.Uses()}
	for i, n := range g.Nodes {
		f.place[n] = i
	}
	var layers []Layer
	for _, n := range g.Nodes {
		if !n.Is("Attention") {
			continue
		}
		join, input := f.residual(n)
		if join == nil {
			return nil, fmt.Errorf("find layers: node %q: nothing adds its result to what it was computed from", n.Name)
		}
		layers = append(layers, Layer{Input: input, Attention: n, join: join})
	}
	if len(layers) == 0 {
		return nil, errors.New("find layers: no attention is recognized in the graph")
	}
	f.ends(layers)
	blocks := named(layers)
	if len(blocks) < len(layers) { // what follows the last block is no block
		f.ends(blocks)
	}
	return blocks, nil
}

// ends finds where each layer ends, and what is in it.
func (f *layerFinder) ends(layers []Layer) {
	for i := range layers {
		l := &layers[i]
		if i+1 < len(layers) {
			l.Output = layers[i+1].Input
		} else {
			l.Output = f.lastOutput(l, l.join, i > 0)
		}
		l.Norms, l.Linears = nil, nil
		f.fill(l)
	}
}

// layerFinder holds what is asked of the graph again and again.
type layerFinder struct {
	graph *Graph
	place map[*Node]int // in topological order
	uses  map[*Value][]Use
}

// ancestors are the values that v is computed from, v included.
func ancestors(v *Value) map[*Value]bool {
	found := map[*Value]bool{v: true}
	for open := []*Value{v}; len(open) > 0; {
		n := open[len(open)-1].Def()
		open = open[:len(open)-1]
		if n == nil {
			continue
		}
		for _, in := range n.Inputs {
			if in != nil && !found[in] {
				found[in] = true
				open = append(open, in)
			}
		}
	}
	return found
}

// residual is the Add that joins the result of attention with the residual stream, and the
// stream before it.
func (f *layerFinder) residual(attention *Node) (join *Node, stream *Value) {
	before := map[*Value]bool{}
	for _, in := range attention.Inputs[:3] {
		if in != nil && !before[in] {
			for v := range ancestors(in) {
				before[v] = true
			}
		}
	}
	after := map[*Value]bool{attention.Outputs[0]: true}
	for _, n := range f.graph.Nodes[f.place[attention]+1:] {
		if !slices.ContainsFunc(n.Inputs, func(v *Value) bool { return after[v] }) {
			continue
		}
		for i := range 2 {
			if x := n.Input(i); n.Is("Add") && before[x] && after[n.Input(1-i)] && x.Const() == nil {
				return n, x
			}
		}
		for _, v := range n.Outputs {
			after[v] = v != nil
		}
	}
	return nil, nil
}

// isNorm reports whether n normalizes.
func isNorm(n *Node) bool { return n.Is("LayerNormalization") || n.Is("RMSNormalization") }

// lastOutput is the output of a block that no other follows. Behind join comes the Add of the
// feed-forward network, and in a post-norm block a norm behind that. Where no Add follows, the
// network ran beside attention and join was the last.
//
// A block that does not normalize what it reads need not be a post-norm block: OLMo 2 normalizes what it adds. Where another comes
// before, its output tells, which is the result of a norm or of an Add.
func (f *layerFinder) lastOutput(l *Layer, join *Node, follows bool) *Value {
	post := !f.normalizedBefore(l) && (!follows || l.Input.Def() == nil || !l.Input.Def().Is("Add"))
	stream := map[*Value]bool{join.Outputs[0]: true}
	out := join.Outputs[0]
	for _, n := range f.graph.Nodes[f.place[join]+1:] {
		passes := isNorm(n) && post || n.Is("Dropout") || n.Is("Identity")
		switch {
		case passes && stream[n.Input(0)], n.Is("Add") && (stream[n.Input(0)] && n.Input(1) == l.Input || stream[n.Input(1)] && n.Input(0) == l.Input):
			stream[n.Outputs[0]] = true // an Add of the input: Jina's code models add it to what attention gave once more
		case n.Is("Add") && (stream[n.Input(0)] && n.Input(1).Const() == nil || stream[n.Input(1)] && n.Input(0).Const() == nil):
			out = n.Outputs[0]
			if post {
				out = f.normalized(out)
			}
			return out
		}
	}
	return out
}

// normalizedBefore reports whether a norm stands between the block's input and its attention.
func (f *layerFinder) normalizedBefore(l *Layer) bool {
	before := ancestors(l.Attention.Inputs[0])
	return slices.ContainsFunc(f.uses[l.Input], func(u Use) bool { return isNorm(u.Node) && before[u.Node.Outputs[0]] })
}

// normalized is the result of the norm that reads v, otherwise v.
func (f *layerFinder) normalized(v *Value) *Value {
	for _, u := range f.uses[v] {
		if isNorm(u.Node) && u.Index == 0 {
			return u.Node.Outputs[0]
		}
	}
	return v
}

// fill collects the norms and the linears between l's input and output.
func (f *layerFinder) fill(l *Layer) {
	inside, outside := ancestors(l.Output), ancestors(l.Input)
	for _, n := range f.graph.Nodes {
		if len(n.Outputs) == 0 || !inside[n.Outputs[0]] || outside[n.Outputs[0]] {
			continue
		}
		if isNorm(n) {
			l.Norms = append(l.Norms, n)
		}
		if w := linearWeight(n); w != nil {
			l.Linears = append(l.Linears, Linear{n, w})
		}
	}
}

// linearWeight is the matrix that n multiplies by, nil where n is no product with a weight.
func linearWeight(n *Node) *Value {
	if !n.Is("MatMul") && !n.Is("Gemm") && !n.Is("MatMulInteger") {
		return nil
	}
	w := n.Input(1)
	for w != nil && w.Def() != nil && (w.Def().Is("Transpose") || w.Def().Is("Cast") || w.Def().Is("DequantizeLinear")) {
		w = w.Def().Input(0)
	}
	if w.Const() == nil || len(w.Const().Shape) != 2 {
		return nil
	}
	return w
}

// layerName is the part of a weight's name that counts layers: "encoder.layer.3", "layers.11", "h.0"; the first such part, for
// in T5's "encoder.block.3.layer.1" the second counts the halves of one.
var layerName = regexp.MustCompile(`^(?:.*?\.)?(?:layers?|blocks?|h)\.[0-9]+`)

// named gives the layers the names that their weights state. Where some are named, attention
// without a name is of another kind, such as a pooling head's.
func named(layers []Layer) []Layer {
	found := false
	for i := range layers {
		for _, w := range layers[i].weights() {
			if name := layerName.FindString(w.Name); name != "" {
				layers[i].Name, found = name, true
				break
			}
		}
	}
	if !found {
		return layers
	}
	return slices.DeleteFunc(layers, func(l Layer) bool { return l.Name == "" })
}

// weights are the weights of l's linears and norms.
func (l *Layer) weights() []*Value {
	var list []*Value
	for _, linear := range l.Linears {
		list = append(list, linear.Weight)
	}
	for _, n := range l.Norms {
		if n.Input(1) != nil {
			list = append(list, n.Input(1))
		}
	}
	return list
}
