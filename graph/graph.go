package graph

import (
	"fmt"
	"slices"
)

// Graph is a list of nodes in topological order with its inputs, outputs and weights.
// A subgraph (the body of If, Loop or Scan) may read values of the graphs around it.
type Graph struct {
	Name         string
	Inputs       []*Value
	Outputs      []*Value
	Initializers []*Value // values with Init set, in file order
	Nodes        []*Node
	ValueInfo    []*Value // values whose type the file states, in file order
	Doc          string
	Metadata     []Property
	Extra        []byte
}

// Use is one place that reads a value: input Index of Node.
type Use struct {
	Node  *Node
	Index int
}

// Uses maps each value to the nodes that read it, subgraphs included.
// Graph outputs are not in it: see IsOutput.
func (g *Graph) Uses() map[*Value][]Use {
	uses := make(map[*Value][]Use)
	g.Walk(func(n *Node) {
		for i, v := range n.Inputs {
			if v != nil {
				uses[v] = append(uses[v], Use{n, i})
			}
		}
	})
	return uses
}

// IsOutput reports whether v is an output of g.
func (g *Graph) IsOutput(v *Value) bool { return slices.Contains(g.Outputs, v) }

// Walk calls f for every node of g and of the subgraphs below it, in order, a node before its subgraphs.
func (g *Graph) Walk(f func(*Node)) {
	for _, n := range g.Nodes {
		f(n)
		n.subgraphs(func(s *Graph) { s.Walk(f) })
	}
}

// WalkGraphs calls f for g and every subgraph below it.
func (g *Graph) WalkGraphs(f func(*Graph)) {
	f(g)
	for _, n := range g.Nodes {
		n.subgraphs(func(s *Graph) { s.WalkGraphs(f) })
	}
}

// Replace makes every reader of old read new instead. Where old is an output of a graph, new
// takes its name and its place, so that the graph's contract stays.
func (g *Graph) Replace(old, new *Value) {
	g.WalkGraphs(func(s *Graph) {
		for _, n := range s.Nodes {
			for i, v := range n.Inputs {
				if v == old {
					n.Inputs[i] = new
				}
			}
		}
		for i, v := range s.Outputs {
			if v == old {
				s.Outputs[i] = new
				old.Name, new.Name = new.Name, old.Name
				if new.Type == nil {
					new.Type = old.Type
				}
			}
		}
	})
}

// Remove takes the nodes for which drop is true out of g (not of its subgraphs).
func (g *Graph) Remove(drop func(*Node) bool) {
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *Node) bool {
		if !drop(n) {
			return false
		}
		for _, v := range n.Outputs {
			if v != nil && v.def == n {
				v.def = nil
			}
		}
		return true
	})
}

// Input returns the graph input called name, or nil.
func (g *Graph) Input(name string) *Value { return find(g.Inputs, name) }

// Output returns the graph output called name, or nil.
func (g *Graph) Output(name string) *Value { return find(g.Outputs, name) }

// Initializer returns the initializer called name, or nil.
func (g *Graph) Initializer(name string) *Value { return find(g.Initializers, name) }

func find(list []*Value, name string) *Value {
	for _, v := range list {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// AddInitializer makes t a weight of g under t.Name.
func (g *Graph) AddInitializer(t *Tensor) *Value {
	v := &Value{Name: t.Name, Type: t.Type(), Init: t}
	g.Initializers = append(g.Initializers, v)
	return v
}

// Names returns the names of all values of g and of its subgraphs.
func (g *Graph) Names() map[string]bool {
	names := make(map[string]bool)
	add := func(list []*Value) {
		for _, v := range list {
			if v != nil && v.Name != "" {
				names[v.Name] = true
			}
		}
	}
	g.WalkGraphs(func(s *Graph) {
		add(s.Inputs)
		add(s.Outputs)
		add(s.Initializers)
		for _, n := range s.Nodes {
			add(n.Inputs)
			add(n.Outputs)
		}
	})
	return names
}

// Sort orders g's nodes so that each value is written before it is read, keeping the present
// order where it may. It fails on a cycle.
func (g *Graph) Sort() error {
	state := make(map[*Node]int, len(g.Nodes)) // 1 open, 2 done
	own := make(map[*Node]bool, len(g.Nodes))
	for _, n := range g.Nodes {
		own[n] = true
	}
	sorted := make([]*Node, 0, len(g.Nodes))
	for _, root := range g.Nodes {
		// An explicit stack: graphs are thousands of nodes deep.
		stack := []*Node{root}
		for len(stack) > 0 {
			n := stack[len(stack)-1]
			if state[n] == 2 {
				stack = stack[:len(stack)-1]
				continue
			}
			if state[n] == 1 {
				state[n] = 2
				sorted = append(sorted, n)
				stack = stack[:len(stack)-1]
				continue
			}
			state[n] = 1
			for _, d := range slices.Backward(dependencies(n)) {
				if !own[d] || state[d] == 2 || d == n {
					continue
				}
				if state[d] == 1 {
					return fmt.Errorf("sort graph %q: node %q (%s) and node %q (%s) depend on each other", g.Name, n.Name, n.Op, d.Name, d.Op)
				}
				stack = append(stack, d)
			}
		}
	}
	g.Nodes = sorted
	return nil
}

// dependencies lists the nodes that n reads from, through its subgraphs too.
func dependencies(n *Node) []*Node {
	var deps []*Node
	read := func(list []*Value) {
		for _, v := range list {
			if v != nil && v.def != nil {
				deps = append(deps, v.def)
			}
		}
	}
	read(n.Inputs)
	n.subgraphs(func(s *Graph) {
		s.Walk(func(m *Node) { read(m.Inputs) })
		s.WalkGraphs(func(b *Graph) { read(b.Outputs) })
	})
	return deps
}
