package quantize

import (
	"fmt"
	"slices"

	"graft/graph"
)

// refuse names what cannot be quantized: what is quantized already, and products out of sight.
func refuse(m *graph.Model) error {
	products := 0
	for _, n := range m.Graph.Nodes {
		if n.Quantized() {
			return fmt.Errorf("it is quantized already: node %q is a %s; quantize the float model that it was made from", n.Name, n.Op)
		}
		if m.FunctionOf(n) != nil {
			return fmt.Errorf("node %q calls the model's own function %q, whose products are out of sight", n.Name, n.Op)
		}
		for _, a := range n.Attrs {
			for _, s := range append(slices.Clone(a.Graphs), a.Graph) {
				if s != nil && multiplies(s) {
					return fmt.Errorf("node %q (%s) holds a subgraph with products, which stay out of sight", n.Name, n.Op)
				}
			}
		}
		if n.Is("MatMul") || n.Is("Gemm") {
			products++
		}
	}
	if products == 0 {
		return fmt.Errorf("graph %q has no products", m.Graph.Name)
	}
	return nil
}

// multiplies reports whether s or a graph below it has products.
func multiplies(s *graph.Graph) bool {
	found := false
	s.Walk(func(n *graph.Node) { found = found || n.Is("MatMul") || n.Is("Gemm") })
	return found
}
