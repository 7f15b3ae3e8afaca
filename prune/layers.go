package prune

import (
	"errors"
	"fmt"
	"slices"

	"graft/graph"
	"graft/graph/pass"
)

// Change tells what became of the layers of a graph, for what counts them beside it: a checkpoint
// and its config.
type Change struct {
	Kept  []int             // the layers that stayed, by their former numbers
	Names map[string]string // former name of a layer -> present one, "" where it is gone; layers without a name are not in it
}

// Apply takes the layers that are to go out of m and numbers those that stay from the first one's
// number on, in the names of weights and nodes. Weights that several layers share stay while one
// of these does. If it fails, m is not to be used any more.
func (p *Plan) Apply(m *graph.Model) (*Change, error) {
	if len(p.Layers) == 0 {
		return &Change{}, nil
	}
	c, err := apply(m, p.Kept())
	if err != nil {
		return nil, fmt.Errorf("prune layers: %w", err)
	}
	return c, nil
}

func apply(m *graph.Model, kept []int) (*Change, error) {
	layers, err := find(m)
	if err != nil {
		return nil, err
	}
	if n := len(layers); len(kept) == 0 || kept[len(kept)-1] >= n {
		return nil, fmt.Errorf("the plan keeps layers %d, the graph has %d", kept, n)
	}
	if err := cut(m, kept); err != nil {
		return nil, err
	}
	c := &Change{Kept: kept, Names: map[string]string{}}
	for _, l := range layers {
		if l.Name != "" {
			c.Names[l.Name] = ""
		}
	}
	for i, old := range kept {
		if name := layers[old].Name; name != "" && layers[i].Name != "" {
			c.Names[name] = layers[i].Name
		}
	}
	renumber(m.Graph, c.Names)
	return c, graph.Check(m)
}

// cut leaves m the layers whose indices are in kept: each reader of a removed layer's output reads
// the residual stream before it. What nothing reads any more goes.
func cut(m *graph.Model, kept []int) error {
	layers, err := find(m)
	if err != nil {
		return err
	}
	stream := layers[0].Input
	for i, l := range layers {
		if slices.Contains(kept, i) {
			stream = l.Output
		} else {
			bypass(m.Graph, l.Output, stream)
		}
	}
	if err := m.Graph.Sort(); err != nil {
		return err
	}
	_, err = pass.Run(m, pass.Dead)
	return err
}

// bypass makes every reader of old read new, which is computed before it. An output of the graph
// that old was is written by an Identity where new is an output already.
func bypass(g *graph.Graph, old, new *graph.Value) {
	if g.IsOutput(old) && (g.IsOutput(new) || new.Def() == nil) {
		same := graph.NewValue(old.Name+"/Identity", old.Type)
		n := graph.NewNode("Identity", []*graph.Value{new}, []*graph.Value{same})
		n.Name = same.Name
		g.Nodes = append(g.Nodes, n)
		g.Replace(old, same)
		return
	}
	g.Replace(old, new)
}

// find is graph.Layers with errors for what it cannot see into.
func find(m *graph.Model) ([]graph.Layer, error) {
	if err := refuse(m); err != nil {
		return nil, err
	}
	layers, err := graph.Layers(m)
	if err != nil {
		return nil, fmt.Errorf("no transformer blocks are recognized: %w", err)
	}
	for i, l := range layers {
		if l.Input == nil || l.Output == nil || l.Input == l.Output {
			return nil, fmt.Errorf("layer %d (%s): its input and output are not found", i, l.Name)
		}
	}
	// Where the last block ends is told from its own nodes alone: no other block's input says so.
	if last := len(layers) - 1; last > 0 && len(layers[last].Linears) < len(layers[last-1].Linears) {
		return nil, fmt.Errorf("the end of the last layer (%s) is not recognized: it has %d products with weights, the one before %d",
			layers[last].Name, len(layers[last].Linears), len(layers[last-1].Linears))
	}
	return layers, nil
}

// refuse names what pruning cannot see through: quantized weights, blocks inside subgraphs or functions.
func refuse(m *graph.Model) error {
	for _, n := range m.Graph.Nodes {
		if n.Quantized() {
			return fmt.Errorf("the model is quantized (node %q is a %s): prune the float model, then quantize it", n.Name, n.Op)
		}
		if m.FunctionOf(n) != nil {
			return fmt.Errorf("node %q calls the model's own function %q, which pruning does not look into", n.Name, n.Op)
		}
		for _, a := range n.Attrs {
			for _, s := range append(slices.Clone(a.Graphs), a.Graph) {
				if s != nil && computes(s) {
					return fmt.Errorf("node %q (%s) holds a subgraph with matrix products, which pruning does not look into", n.Name, n.Op)
				}
			}
		}
	}
	if len(m.Graph.Nodes) == 0 {
		return errors.New("the graph is empty")
	}
	return nil
}

// computes reports whether s multiplies matrices.
func computes(s *graph.Graph) bool {
	found := false
	s.Walk(func(n *graph.Node) { found = found || n.Is("MatMul") || n.Is("Gemm") || n.Is("Attention") })
	return found
}

// finish brings a changed graph in order: what nothing reads goes, nodes and types are as the IR wants them.
func finish(m *graph.Model) error {
	if err := m.Graph.Sort(); err != nil {
		return err
	}
	if _, err := pass.Run(m, pass.Dead); err != nil {
		return err
	}
	if err := graph.Infer(m); err != nil {
		return err
	}
	return graph.Check(m)
}
