package graph

// Places tells which transformer block each node and value of a graph belongs to: 0 is the first, -1 stands
// for what comes before it, and the number of blocks for what comes after the last.
type Places struct {
	Nodes  map[*Node]int
	Values map[string]int // what is computed from the graph's inputs, by name
}

// FindPlaces places the nodes of g. bounds are the names of the residual stream before each block and after the
// last, as Layers finds them: a node belongs to the block whose input is the last that it is computed from, and one
// that is computed from weights alone to the block that reads it first. g may be the graph in any form that kept
// these names. Where a runtime's optimizer took some away, known are the places of values in the graph before.
func FindPlaces(g *Graph, bounds []string, known map[string]int) Places {
	p := Places{Nodes: make(map[*Node]int, len(g.Nodes)), Values: map[string]int{}}
	bound := map[string]int{}
	for i, name := range bounds {
		bound[name] = i
	}
	mark := func(v *Value, place int) {
		if b, ok := bound[v.Name]; ok {
			place = b
		} else if k, ok := known[v.Name]; ok {
			place = max(place, k)
		}
		p.Values[v.Name] = place
	}
	for _, v := range g.Inputs {
		if v.Init == nil {
			mark(v, -1)
		}
	}
	var static []*Node
	for _, n := range g.Nodes {
		place, computed := -1, false
		for _, in := range n.Inputs {
			if in == nil {
				continue
			}
			if at, ok := p.Values[in.Name]; ok {
				place, computed = max(place, at), true
			}
		}
		if !computed {
			static = append(static, n)
			continue
		}
		for _, out := range n.Outputs {
			if out == nil {
				continue
			}
			mark(out, place)
			if _, bounds := bound[out.Name]; !bounds {
				place = max(place, p.Values[out.Name])
			}
		}
		p.Nodes[n] = place
	}
	p.placeStatic(g, static, len(bounds))
	return p
}

// placeStatic places nodes that read weights alone with the first that reads them.
func (p *Places) placeStatic(g *Graph, static []*Node, none int) {
	uses := g.Uses()
	for i := len(static) - 1; i >= 0; i-- {
		place := none
		for _, out := range static[i].Outputs {
			for _, u := range uses[out] {
				if at, ok := p.Nodes[u.Node]; ok {
					place = min(place, at)
				}
			}
		}
		if place == none {
			place = -1
		}
		p.Nodes[static[i]] = place
	}
}

// Bounds are the names of the residual stream before each of the layers and after the last.
func Bounds(layers []Layer) []string {
	var names []string
	for _, l := range layers {
		names = append(names, l.Input.Name)
	}
	if len(layers) > 0 {
		names = append(names, layers[len(layers)-1].Output.Name)
	}
	return names
}

// WeightPlaces are the places of the initializers: that of the first node that reads each.
func (p *Places) WeightPlaces(g *Graph) map[*Value]int {
	places := map[*Value]int{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in == nil || in.Init == nil {
				continue
			}
			if at, ok := places[in]; !ok || p.Nodes[n] < at {
				places[in] = p.Nodes[n]
			}
		}
	}
	return places
}
