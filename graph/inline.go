package graph

import (
	"fmt"
	"slices"
)

// Inline replaces the calls of m's own functions by their bodies, in subgraphs and inside of functions too, and drops
// the functions that nothing calls any more. A function that is written against other versions of its operator sets than m
// stays as it is. It reports whether anything changed.
func (m *Model) Inline() (bool, error) {
	changed, count := false, 0
	for range mostDepth {
		i := &inliner{model: m, names: m.Graph.Names(), count: count}
		m.Graph.WalkGraphs(i.graph)
		switch {
		case !i.changed:
			m.dropFunctions()
			return changed, nil
		case i.count > mostInlined:
			return true, fmt.Errorf("inline functions: they have more than %d nodes, all calls together", mostInlined)
		}
		changed, count = true, i.count
	}
	return true, fmt.Errorf("inline functions: they call each other more than %d deep", mostDepth)
}

// mostInlined bounds the nodes that calls become: functions that call each other twice grow without bounds.
const mostInlined = 1 << 20

// inliner is the state of one sweep over the graphs of a model.
type inliner struct {
	model   *Model
	names   map[string]bool // of values
	changed bool
	count   int // nodes of all bodies
}

func (i *inliner) graph(g *Graph) {
	var nodes []*Node
	for _, n := range g.Nodes {
		f := i.model.FunctionOf(n)
		if f == nil || f.Body == nil || i.count > mostInlined || len(n.Inputs) > len(f.Body.Inputs) || len(n.Outputs) > len(f.Body.Outputs) || !i.adopts(f) {
			nodes = append(nodes, n)
			continue
		}
		body, initializers := i.call(n, f)
		nodes, i.changed = append(nodes, body...), true
		g.Initializers = append(g.Initializers, initializers...)
	}
	g.Nodes = nodes
}

// adopts reports whether the body of f means the same in the model, which imports then what f imports.
func (i *inliner) adopts(f *Function) bool {
	for _, o := range f.Opsets {
		if v := i.model.Opset(o.Domain); v != 0 && v != o.Version {
			return false
		}
	}
	for _, o := range f.Opsets {
		i.model.SetOpset(o.Domain, o.Version)
	}
	return true
}

// call is the body of f as n calls it: it reads n's inputs and writes n's outputs.
func (i *inliner) call(n *Node, f *Function) (nodes []*Node, initializers []*Value) {
	c := &cloner{values: map[*Value]*Value{}}
	own := map[*Value]bool{} // values that have their names
	for at, formal := range f.Body.Inputs {
		c.values[formal] = n.Input(at)
		own[n.Input(at)] = true
	}
	var copies []*Node
	for at, v := range n.Outputs {
		if v == nil {
			continue
		}
		own[v] = true
		formal := f.Body.Outputs[at]
		if from, taken := c.values[formal]; taken { // an input, or an output twice
			copies = append(copies, NewNode("Identity", []*Value{from}, []*Value{v}))
			continue
		}
		c.values[formal] = v
	}
	prefix := n.Name
	if prefix == "" {
		prefix = n.Op
	}
	body := c.graph(f.Body)
	rename := func(list []*Value) {
		for _, v := range list {
			if v != nil && !own[v] {
				own[v], v.Name = true, i.fresh(prefix+"/"+v.Name)
			}
		}
	}
	in := &inferrer{call: n, function: f}
	body.Walk(func(x *Node) {
		x.Attrs, x.Name = in.resolve(x).Attrs, prefix+"/"+x.Name
		rename(x.Outputs)
	})
	body.WalkGraphs(func(g *Graph) {
		rename(g.Initializers)
		if g != body {
			rename(g.Inputs)
		}
	})
	i.count += len(body.Nodes)
	return append(body.Nodes, copies...), body.Initializers
}

// fresh is name, or one like it that no value has.
func (i *inliner) fresh(name string) string {
	free := name
	for k := 1; i.names[free]; k++ {
		free = fmt.Sprintf("%s_%d", name, k)
	}
	i.names[free] = true
	return free
}

// dropFunctions leaves m those functions that are called.
func (m *Model) dropFunctions() {
	called := map[*Function]bool{}
	var mark func(n *Node)
	mark = func(n *Node) {
		if f := m.FunctionOf(n); f != nil && !called[f] {
			called[f] = true
			if f.Body != nil {
				f.Body.Walk(mark)
			}
		}
	}
	m.Graph.Walk(mark)
	m.Functions = slices.DeleteFunc(slices.Clone(m.Functions), func(f *Function) bool { return !called[f] })
}
