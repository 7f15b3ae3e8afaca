package graph_test

import (
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"graft/graph"
	"graft/graph/pass"
)

// Models of every operator, damaged at random: checking, inferring, evaluating and simplifying
// report errors or not, but never panic.
func TestDamagedModelsDoNotPanic(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, c := range backend(t) {
		bound := c.bindInputs()
		for range 3 {
			m := c.model.Clone()
			for range 1 + r.IntN(3) {
				damage(r, m)
			}
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("%s: panic: %v\n%s", c.name, p, debug.Stack())
					}
				}()
				_ = graph.Check(m)
				_ = graph.Infer(m)
				if bound {
					_ = pass.Simplify(m)
				}
			}()
		}
	}
}

// sizes that files claim.
var sizes = []int64{-1 << 63, -1, 0, 1, 2, 3, 7, 1 << 40, 1<<63 - 1}

// damage changes one thing of one node.
func damage(r *rand.Rand, m *graph.Model) {
	if len(m.Graph.Nodes) == 0 {
		return
	}
	n := m.Graph.Nodes[r.IntN(len(m.Graph.Nodes))]
	switch r.IntN(9) {
	case 0:
		if len(n.Inputs) > 0 {
			n.Inputs = n.Inputs[:r.IntN(len(n.Inputs))]
		}
	case 1:
		if len(n.Inputs) > 0 {
			n.Inputs[r.IntN(len(n.Inputs))] = nil
		}
	case 2:
		n.Outputs = n.Outputs[:r.IntN(len(n.Outputs)+1)]
	case 3:
		ops := graph.Ops()
		n.Op = ops[r.IntN(len(ops))].Name
	case 4:
		m.SetOpset("", int64(1+r.IntN(25)))
	case 5:
		if len(n.Attrs) > 0 {
			a := &n.Attrs[r.IntN(len(n.Attrs))]
			a.Int, a.Ints, a.Graph, a.Tensor = sizes[r.IntN(len(sizes))], sizes[:r.IntN(len(sizes))], nil, nil
		}
	case 6:
		n.Attrs = nil
	case 7:
		v := n.Input(0)
		if v != nil && v.Init == nil {
			v.Type = graph.TensorType(graph.DType(r.IntN(20)), graph.Size(sizes[r.IntN(len(sizes))]), graph.Symbol("n"))
		}
	case 8:
		if v := n.Input(r.IntN(4)); v != nil {
			shape := []int64{sizes[r.IntN(len(sizes))], 0}[:r.IntN(3)]
			v.Init = graph.NewTensor(v.Name, []int64{}, 0)
			v.Init.Shape = slices.Clone(shape)
			v.Type = v.Init.Type()
		}
	}
}
