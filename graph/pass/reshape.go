package pass

import (
	"fmt"

	"graft/graph"
)

// Reshapes gives Reshape nodes a constant target shape where inference knows enough: sizes that
// are known stand as they are, 0 copies a size of the input, and one other size may be -1.
// Exporters compute [batch, sequence, 12, 32] from the input's shape in nine nodes; [0, 0, 12, 32]
// says the same, and Dead removes the nine.
var Reshapes = Pass{"reshapes", "write target shapes of Reshape as constants", reshapes}

func reshapes(m *graph.Model) (bool, error) {
	if err := graph.Infer(m); err != nil {
		return false, err
	}
	isOutput := outputs(m.Graph)
	names := m.Graph.Names()
	changed := false
	m.Graph.WalkGraphs(func(g *graph.Graph) {
		for _, n := range g.Nodes {
			// The type of a graph's output is what the file declares, right or wrong.
			x, y := n.Input(0), n.Output(0)
			if !n.Is("Reshape") || x == nil || y == nil || isOutput[y] || n.Input(1) == nil || n.Input(1).Const() != nil || n.Int("allowzero", 0) != 0 {
				continue
			}
			target, ok := constantTarget(x.Shape(), y.Shape())
			if !ok {
				continue
			}
			name := y.Name + "_shape"
			for i := 1; names[name]; i++ {
				name = fmt.Sprintf("%s_shape_%d", y.Name, i)
			}
			names[name] = true
			n.Inputs[1] = g.AddInitializer(graph.NewTensor(name, target, int64(len(target))))
			changed = true
		}
	})
	return changed, nil
}

// constantTarget is a target that reshapes in to out whatever the symbols stand for.
func constantTarget(in, out graph.Shape) (target []int64, ok bool) {
	if in == nil || out == nil {
		return nil, false
	}
	rest := 0
	for i, d := range out {
		switch {
		case d.Known() && d.Size > 0:
			target = append(target, d.Size)
		case d.Symbol != "" && i < len(in) && d == in[i]:
			target = append(target, 0)
		default:
			target = append(target, -1)
			rest++
		}
	}
	return target, rest <= 1 && len(target) > 0
}
