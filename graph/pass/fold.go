package pass

import (
	"errors"
	"fmt"
	"slices"

	"graft/graph"
)

// Fold replaces nodes by the constants that they compute: those whose inputs are all constant,
// and those whose elements follow from the sizes that inference knows (the 384 of
// [batch, sequence, 384]). Large weights are only moved (transposed, cast, reshaped), and only
// where the file does not grow; they are computed when the model is written.
var Fold = Pass{"fold", "replace what is constant by its value", func(m *graph.Model) (bool, error) { return fold(m, anything) }}

// foldSizes folds the arithmetic of sizes and Constant nodes alone, which leaves weights as they are.
var foldSizes = Pass{"fold sizes", "replace computed integers by their value", func(m *graph.Model) (bool, error) { return fold(m, isSize) }}

func anything(*graph.Node) bool { return true }

// isSize reports whether n is a Constant, or its result holds integers or bools.
func isSize(n *graph.Node) bool {
	return n.Is("Constant") || n.Output(0).DType() != graph.Undefined && !n.Output(0).DType().IsFloat()
}

// freeBytes is the size up to which a constant may be larger than what it is made of.
const freeBytes = 1 << 16

func fold(m *graph.Model, wanted func(*graph.Node) bool) (bool, error) {
	freed := freeWeights(m)
	known, err := graph.InferElements(m)
	if err != nil {
		return false, err
	}
	f := &folder{
		model: m, wanted: wanted, known: known,
		isInput: defaults(m.Graph), isOutput: outputs(m.Graph), readers: map[*graph.Value]int{},
	}
	for v, uses := range m.Graph.Uses() {
		f.readers[v] = len(uses)
	}
	m.Graph.WalkGraphs(f.graph)
	return f.changed || freed, f.err
}

// freeWeights takes weights off the list of inputs, where files had to put them before IR
// version 4. They were constants there: only since then is a listed weight a default.
func freeWeights(m *graph.Model) bool {
	if m.IRVersion < 1 || m.IRVersion > 3 {
		return false
	}
	m.IRVersion = 4
	m.Graph.Inputs = slices.DeleteFunc(m.Graph.Inputs, func(v *graph.Value) bool { return v.Init != nil })
	return true
}

type folder struct {
	model             *graph.Model
	wanted            func(*graph.Node) bool
	known             map[*graph.Value]*graph.Tensor
	isInput, isOutput map[*graph.Value]bool
	readers           map[*graph.Value]int
	changed           bool
	err               error
}

// graph turns the outputs of constant nodes of g into initializers.
func (f *folder) graph(g *graph.Graph) {
	values := map[*graph.Node][]*graph.Tensor{}
	for _, n := range g.Nodes {
		out, err := f.evaluate(n)
		if err != nil {
			f.err = errors.Join(f.err, fmt.Errorf("graph %q: %w", g.Name, err))
		}
		if out == nil {
			continue
		}
		values[n] = out
		for i, v := range n.Outputs {
			if v != nil {
				v.Init = out[i]
				v.Init.Name = v.Name
				v.Type = out[i].Type()
				g.Initializers = append(g.Initializers, v)
			}
		}
	}
	f.changed = f.changed || len(values) > 0
	g.Remove(func(n *graph.Node) bool { return values[n] != nil })
}

// evaluate returns the constants that n computes, nil where it stays.
func (f *folder) evaluate(n *graph.Node) ([]*graph.Tensor, error) {
	if !f.wanted(n) {
		return nil, nil
	}
	for _, v := range n.Outputs {
		if f.isOutput[v] {
			return nil, nil
		}
	}
	if t := f.known[n.Output(0)]; t != nil && len(n.Outputs) == 1 && !n.Is("Constant") {
		return []*graph.Tensor{t}, nil
	}
	in := make([]*graph.Tensor, len(n.Inputs))
	for i, v := range n.Inputs {
		if v == nil {
			continue
		}
		if in[i] = v.Const(); in[i] == nil || f.isInput[v] {
			return nil, nil
		}
	}
	out, err := graph.Evaluate(n, f.model.Opset(n.Domain), in)
	if errors.Is(err, graph.ErrNoFold) {
		return nil, nil
	}
	if err != nil || !f.worth(n, in, out) {
		return nil, err
	}
	return out, nil
}

// worth reports whether the constants out take no more room than what they are made of, which then is not needed.
func (f *folder) worth(n *graph.Node, in, out []*graph.Tensor) bool {
	var made, freed int64
	for _, t := range out {
		made += t.Size()
	}
	for i, t := range in {
		if t != nil && f.readers[n.Inputs[i]] == 1 {
			freed += t.Size()
		}
	}
	return made <= freeBytes || made <= freed || n.Is("Constant")
}
