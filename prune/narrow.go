package prune

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"graft/graph"
)

// part says which features of a value stay: keep, counted from start.
type part struct {
	start int
	keep  []int
}

// narrower takes features out of one unit: from its last product back to those that make the
// features, everything on the way is narrowed.
type narrower struct {
	graph *graph.Graph
	uses  map[*graph.Value][]graph.Use
	parts map[*graph.Value][]part // what stays of each value on the way
	seen  map[*graph.Node]bool
	heads func(n int) int // the number of heads that stay of n; nil in a feed-forward network
}

// narrow leaves the unit the features in keep, ascending. units: what is counted in an
// attention's attributes: of its query heads and of its key heads so many stay.
func narrow(g *graph.Graph, u *unit, keep []int, kvKeep []int, heads, kvHeads int) error {
	w := &narrower{graph: g, uses: g.Uses(), parts: map[*graph.Value][]part{}, seen: map[*graph.Node]bool{u.out.node: true}}
	w.parts[u.out.node.Input(0)] = []part{{0, keep}}
	if a := u.attention; a != nil {
		old := map[int]int{int(a.Int("q_num_heads", 0)): heads, int(a.Int("kv_num_heads", 0)): kvHeads}
		w.heads = func(n int) int { return old[n] }
		w.parts[a.Input(0)], w.parts[a.Input(1)], w.parts[a.Input(2)] = []part{{0, keep}}, []part{{0, kvKeep}}, []part{{0, kvKeep}}
	}
	if err := w.walk(u); err != nil {
		return err
	}
	return w.pick(u.out.node, 1, u.out.weight, 1-u.out.outAxis, keep)
}

// countsTokens reports whether n takes sizes of its input, and not the number of features.
func (w *narrower) countsTokens(n *graph.Node) bool {
	last := int64(len(n.Input(0).Shape())) - 1
	if !n.Is("Shape") || last < 0 {
		return false
	}
	if end := n.Int("end", last+1); end <= last { // one below 0 is counted from the back
		return true
	}
	return !slices.ContainsFunc(w.uses[n.Outputs[0]], func(u graph.Use) bool {
		if !u.Node.Is("Gather") || u.Index != 0 || u.Node.Input(1).Const() == nil {
			return true
		}
		at, err := u.Node.Input(1).Const().Int64s()
		return err != nil || slices.ContainsFunc(at, func(i int64) bool { return i < 0 || i+n.Int("start", 0) >= last })
	})
}

// walk goes back from the unit's product. Nodes are in topological order, so that a value's readers
// come before its writer.
func (w *narrower) walk(u *unit) error {
	var taken []sliced
	for _, n := range slices.Backward(slices.Clone(w.graph.Nodes)) {
		if len(n.Outputs) == 0 || w.parts[n.Outputs[0]] == nil || w.seen[n] {
			continue
		}
		w.seen[n] = true
		v := n.Outputs[0]
		for _, use := range w.uses[v] {
			if !w.seen[use.Node] && use.Node != u.attention && !w.countsTokens(use.Node) {
				return fmt.Errorf("node %q (%s) reads it too", use.Node.Name, use.Node.Op)
			}
		}
		if w.graph.IsOutput(v) {
			return errors.New("it is an output of the graph")
		}
		all := w.all(v)
		v.Type = nil // Infer finds the new one
		p, isProduct := productOf(n)
		switch {
		case isProduct:
			if err := w.product(p, all); err != nil {
				return err
			}
		case n == u.attention:
			if err := w.attention(n, u, all); err != nil {
				return err
			}
		case n.Is("Slice"):
			s, err := w.slice(n, w.parts[v])
			if err != nil {
				return err
			}
			taken = append(taken, s)
		case slices.ContainsFunc(elementwise, n.Is):
			if err := w.each(n, w.parts[v], all); err != nil {
				return err
			}
		case w.heads != nil:
			if err := w.perHead(n, w.parts[v]); err != nil {
				return err
			}
		default:
			return fmt.Errorf("node %q (%s) mixes features", n.Name, n.Op)
		}
	}
	for _, s := range taken {
		w.rewriteSlice(s)
	}
	return nil
}

// all are the features of v that stay.
func (w *narrower) all(v *graph.Value) []int {
	var list []int
	for _, p := range w.parts[v] {
		for _, k := range p.keep {
			list = append(list, p.start+k)
		}
	}
	slices.Sort(list)
	return list
}

// need adds parts to what stays of v.
func (w *narrower) need(v *graph.Value, parts []part) {
	for _, p := range parts {
		if !slices.ContainsFunc(w.parts[v], func(q part) bool { return q.start == p.start }) {
			w.parts[v] = append(w.parts[v], p)
		}
	}
	slices.SortFunc(w.parts[v], func(a, b part) int { return cmp.Compare(a.start, b.start) })
}

// product keeps the columns that make the features.
func (w *narrower) product(p product, keep []int) error {
	if p.node.Is("Gemm") && p.node.Input(2) != nil {
		if err := w.vector(p.node, 2, keep); err != nil {
			return err
		}
	}
	return w.pick(p.node, 1, p.weight, p.outAxis, keep)
}

// each narrows the inputs of an operator on single features.
func (w *narrower) each(n *graph.Node, parts []part, keep []int) error {
	for i, v := range n.Inputs {
		switch c := v.Const(); {
		case v == nil || i > 0 && (n.Is("Dropout") || n.Is("Cast")):
		case c == nil:
			w.need(v, parts)
		case c.Len() != 1:
			if err := w.vector(n, i, keep); err != nil {
				return err
			}
		}
	}
	return nil
}

// vector narrows a constant that has a number for each feature.
func (w *narrower) vector(n *graph.Node, input int, keep []int) error {
	v := n.Input(input)
	if v.Init == nil || len(v.Init.Shape) != 1 {
		return fmt.Errorf("constant %q has shape %v, want one number for each feature", v.Name, v.Const().Shape)
	}
	return w.pick(n, input, v, 0, keep)
}

// sliced is a Slice of features, and the range that it takes before any of them goes.
type sliced struct {
	node       *graph.Node
	start, end int
}

// slice passes on what stays of a Slice along the features.
func (w *narrower) slice(n *graph.Node, parts []part) (sliced, error) {
	s, err := sliceOf(n)
	if err != nil {
		return s, err
	}
	var moved []part
	for _, p := range parts {
		moved = append(moved, part{p.start + s.start, p.keep})
	}
	w.need(n.Input(0), moved)
	return s, nil
}

// sliceOf is the range that a Slice takes of the last axis.
func sliceOf(n *graph.Node) (s sliced, err error) {
	values := make([]int64, 4)
	for i := range 4 {
		c := n.Input(i + 1).Const()
		if i == 3 && n.Input(4) == nil {
			values[i] = 1
			continue
		}
		if c == nil || c.Len() != 1 {
			return s, fmt.Errorf("node %q (Slice): its range is not constant", n.Name)
		}
		list, err := c.Int64s()
		if err != nil {
			return s, err
		}
		values[i] = list[0]
	}
	if axis := values[2]; axis != -1 && axis != int64(len(n.Input(0).Shape()))-1 || values[3] != 1 || values[0] < 0 {
		return s, fmt.Errorf("node %q (Slice) does not take a range of the features", n.Name)
	}
	return sliced{n, int(values[0]), int(values[1])}, nil
}

// rewriteSlice takes the range that the features have now.
func (w *narrower) rewriteSlice(s sliced) {
	kept := w.all(s.node.Input(0))
	from, _ := slices.BinarySearch(kept, s.start)
	to, _ := slices.BinarySearch(kept, s.end)
	w.constant(s.node, 1, int64(from))
	w.constant(s.node, 2, int64(to))
}

// attention narrows the node itself: the numbers of its heads, and a mask that differs by head.
func (w *narrower) attention(n *graph.Node, u *unit, keep []int) error {
	q, kv := n.Int("q_num_heads", 0), n.Int("kv_num_heads", 0)
	size := u.features() / int(q)
	if mask := n.Input(3); mask != nil {
		shape := mask.Shape()
		if shape == nil {
			return fmt.Errorf("node %q: the shape of its mask is not known", n.Name)
		}
		if len(shape) == 4 && (!shape[1].Known() || shape[1].Size == q) && q > 1 {
			var heads []int64
			for i := 0; i < len(keep); i += size {
				heads = append(heads, int64(keep[i]/size))
			}
			b := graph.NewBuilder(w.graph, nil)
			n.Inputs[3] = b.Op("Gather", []*graph.Value{mask, b.Int64s(heads...)}, graph.IntAttr("axis", 1))
		}
	}
	n.SetAttr(graph.IntAttr("q_num_heads", int64(w.heads(int(q)))))
	n.SetAttr(graph.IntAttr("kv_num_heads", int64(w.heads(int(kv)))))
	return nil
}

// perHead narrows what works on each head by itself: rotary positions, and the norm of each head
// between two Reshapes.
func (w *narrower) perHead(n *graph.Node, parts []part) error {
	switch {
	case n.Is("RotaryEmbedding"):
		if h := n.Int("num_heads", 0); h > 0 {
			n.SetAttr(graph.IntAttr("num_heads", int64(w.heads(int(h)))))
		}
	case n.Is("Reshape"):
		shape := n.Input(1).Const()
		if shape == nil {
			return fmt.Errorf("node %q (Reshape): its shape is not constant", n.Name)
		}
		dims, err := shape.Int64s()
		if err != nil {
			return err
		}
		before := dims[len(dims)-1]
		dims = slices.Clone(dims)
		if len(dims) == 4 {
			dims[2] = int64(w.heads(int(dims[2])))
		} else if before > 0 {
			n := 0
			for _, p := range parts {
				n += len(p.keep)
			}
			dims[len(dims)-1] = int64(n)
		}
		w.constant(n, 1, dims...)
	case isNorm(n) && n.Int("axis", -1) == -1 && n.Input(0).Def().Is("Reshape"):
	default:
		return fmt.Errorf("node %q (%s) mixes features", n.Name, n.Op)
	}
	w.need(n.Input(0), parts)
	return nil
}

func isNorm(n *graph.Node) bool { return n.Is("RMSNormalization") || n.Is("LayerNormalization") }

// constant gives a node other integers for an input; other readers of the old ones keep them.
func (w *narrower) constant(n *graph.Node, input int, values ...int64) {
	b := graph.NewBuilder(w.graph, nil)
	if len(n.Input(input).Const().Shape) == 0 {
		n.Inputs[input] = b.Int64(values[0])
		return
	}
	n.Inputs[input] = b.Int64s(values...)
}

// pick leaves a weight the rows or columns in keep. A weight that others read too is copied for n.
func (w *narrower) pick(n *graph.Node, input int, v *graph.Value, axis int, keep []int) error {
	smaller := pickFrom(v.Init, axis, keep)
	readers := map[*graph.Node]bool{}
	for _, u := range w.uses[v] {
		readers[u.Node] = true
	}
	transpose := n.Input(input).Def()
	if len(readers) == 1 && (transpose == nil || len(w.uses[n.Input(input)]) == 1) {
		v.Init, v.Type = smaller, smaller.Type()
		if transpose != nil {
			n.Input(input).Type = nil
		}
		return nil
	}
	if transpose != nil {
		return fmt.Errorf("weight %q is shared: all that read it would change", v.Name)
	}
	smaller.Name = free(maps.Clone(w.graph.Names()), v.Name)
	n.Inputs[input] = w.graph.AddInitializer(smaller)
	return nil
}
