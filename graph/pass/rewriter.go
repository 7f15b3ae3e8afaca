package pass

import (
	"fmt"
	"slices"

	"graft/graph"
)

// rewriter replaces nodes of a model by others that b appends.
type rewriter struct {
	model   *graph.Model
	graph   *graph.Graph                 // the graph being rewritten: the model's or a subgraph
	uses    map[*graph.Value][]graph.Use // readers of each value before the sweep
	scratch *graph.Graph                 // where b appends
	b       *graph.Builder
	shared  map[sharedKey]*graph.Value
}

// sharedKey names a value that is made once: what it is and what it is made from.
type sharedKey struct {
	graph *graph.Graph
	what  string
	of    *graph.Value
	more  any
}

func newRewriter(m *graph.Model) *rewriter {
	// The builder works on a copy of the lists, so that fresh names are fresh in the whole
	// model; what it appends is taken from there.
	scratch := *m.Graph
	r := &rewriter{model: m, scratch: &scratch, shared: map[sharedKey]*graph.Value{}}
	r.b = graph.NewBuilder(r.scratch, nil)
	r.scratch.Initializers = nil
	return r
}

// sweep calls f for every node, in order, with b's names below the node's. f appends nodes and
// returns what is to stand for the node's outputs, nil where an output stays; the node goes
// when f returns anything. Constants that f adds belong to the outermost graph.
func (r *rewriter) sweep(f func(*graph.Node) ([]*graph.Value, error)) error {
	r.uses = r.model.Graph.Uses()
	var failed error
	r.model.Graph.WalkGraphs(func(g *graph.Graph) {
		if failed == nil {
			failed = r.sweepGraph(g, f)
		}
	})
	r.model.Graph.Initializers = append(r.model.Graph.Initializers, r.scratch.Initializers...)
	r.scratch.Initializers = nil
	return failed
}

func (r *rewriter) sweepGraph(g *graph.Graph, f func(*graph.Node) ([]*graph.Value, error)) error {
	r.graph = g
	root := r.b
	var nodes []*graph.Node
	for _, n := range g.Nodes {
		r.scratch.Nodes = nil
		if n.Name != "" {
			r.b = root.Scope("%s", n.Name)
		}
		out, err := f(n)
		r.b = root
		if err == nil {
			err = root.Err()
		}
		if err != nil {
			return fmt.Errorf("node %q (%s): %w", n.Name, n.Op, err)
		}
		if out == nil {
			nodes = append(append(nodes, r.scratch.Nodes...), n)
			continue
		}
		for i, v := range out {
			if v != nil {
				r.take(g, n.Outputs[i], v)
			}
		}
		nodes = append(nodes, r.scratch.Nodes...)
	}
	g.Nodes = nodes
	return nil
}

// take puts v in the place of old. Where a new node writes v, it writes old from now on, so
// that the value keeps its name and its readers.
func (r *rewriter) take(g *graph.Graph, old, v *graph.Value) {
	def := v.Def()
	if def == nil || !slices.Contains(r.scratch.Nodes, def) {
		if !g.IsOutput(old) {
			g.Replace(old, v)
			return
		}
		v = r.b.Op("Identity", []*graph.Value{v})
		def = v.Def()
	}
	def.SetOutput(slices.Index(def.Outputs, v), old)
	for _, n := range r.scratch.Nodes {
		for i, in := range n.Inputs {
			if in == v {
				n.Inputs[i] = old
			}
		}
	}
	for key, made := range r.shared {
		if made == v {
			r.shared[key] = old
		}
	}
}

// once returns the value that make builds, the same one for the same key.
func (r *rewriter) once(key sharedKey, make func() *graph.Value) *graph.Value {
	key.graph = r.graph
	if v, ok := r.shared[key]; ok {
		return v
	}
	v := make()
	r.shared[key] = v
	return v
}

// onlyFirst reports an error where anything reads an output of n beyond the first.
func (r *rewriter) onlyFirst(n *graph.Node) error {
	for _, v := range n.Outputs[1:] {
		if v != nil && (len(r.uses[v]) > 0 || r.graph.IsOutput(v)) {
			return fmt.Errorf("output %q is read; only the first can be written in another form", v.Name)
		}
	}
	return nil
}
