package graph

import "slices"

// Clone returns a copy of m whose nodes and values may be changed without changing m. Tensor
// data, which nothing changes in place, is shared. Local functions are shared too.
func (m *Model) Clone() *Model {
	c := *m
	c.Opsets = slices.Clone(m.Opsets)
	c.Metadata = slices.Clone(m.Metadata)
	c.Functions = slices.Clone(m.Functions)
	c.Graph = (&cloner{values: map[*Value]*Value{}}).graph(m.Graph)
	return &c
}

// cloner remembers the copy of each value, so that subgraphs read the copies of outer values.
type cloner struct{ values map[*Value]*Value }

func (c *cloner) value(v *Value) *Value {
	if v == nil {
		return nil
	}
	if w, ok := c.values[v]; ok {
		return w
	}
	w := *v
	w.def = nil // set by the copy of the node that writes it
	w.Metadata = slices.Clone(v.Metadata)
	if v.Type != nil {
		t := *v.Type
		t.Shape = slices.Clone(v.Type.Shape)
		w.Type = &t
	}
	if v.Init != nil {
		t := *v.Init
		w.Init = &t
	}
	c.values[v] = &w
	return &w
}

func (c *cloner) list(values []*Value) []*Value {
	if values == nil {
		return nil
	}
	out := make([]*Value, len(values))
	for i, v := range values {
		out[i] = c.value(v)
	}
	return out
}

func (c *cloner) graph(g *Graph) *Graph {
	d := *g
	d.Inputs = c.list(g.Inputs)
	d.Initializers = c.list(g.Initializers)
	d.Nodes = make([]*Node, len(g.Nodes))
	for i, n := range g.Nodes {
		d.Nodes[i] = c.node(n)
	}
	d.Outputs = c.list(g.Outputs)
	d.ValueInfo = c.list(g.ValueInfo)
	d.Metadata = slices.Clone(g.Metadata)
	return &d
}

func (c *cloner) node(n *Node) *Node {
	d := *n
	d.Inputs = c.list(n.Inputs)
	d.Outputs = c.list(n.Outputs)
	for _, v := range d.Outputs {
		if v != nil {
			v.def = &d
		}
	}
	d.Metadata = slices.Clone(n.Metadata)
	d.Attrs = slices.Clone(n.Attrs)
	for i := range d.Attrs {
		a := &d.Attrs[i]
		if a.Graph != nil {
			a.Graph = c.graph(a.Graph)
		}
		a.Graphs = slices.Clone(a.Graphs)
		for j := range a.Graphs {
			a.Graphs[j] = c.graph(a.Graphs[j])
		}
	}
	return &d
}
