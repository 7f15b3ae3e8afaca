package pass

import (
	"fmt"
	"math"
	"slices"

	"graft/graph"
)

// irOpset is the opset whose forms the IR is written in.
const irOpset = 23

// oldestOpset is the first opset with today's broadcasting; older files are not read.
const oldestOpset = 7

// form is a change of an operator's form between opsets that a file written against one must
// be carried over to be read by the other. Changes that only allow more are not listed.
type form struct {
	at   int64 // the opset that brought the new form
	ops  []string
	up   func(*former, *graph.Node) error // old form to new; nil: cannot be carried
	down func(*former, *graph.Node) error // new form to old; nil: nothing to do, or never needed (below opset 13)
}

// forms lists the changes in the order of their opsets (onnx docs/Changelog.md).
var forms = []form{
	{10, []string{"Slice"}, attrsToInputs("starts", "ends", "axes"), nil},
	{10, []string{"TopK"}, attrsToInputs("k"), nil},
	{11, []string{"Clip"}, clipLimits, nil},
	{11, []string{"Pad"}, padding, nil},
	{12, []string{"Dropout"}, dropRatio, nil},
	{13, []string{"Squeeze", "Unsqueeze", "ReduceSum"}, attrsToInputs("axes"), nil},
	{13, []string{"Split"}, attrsToInputs("split"), nil},
	{13, []string{"Softmax", "LogSoftmax", "Hardmax"}, softmaxAxis, nil},
	{15, []string{"Shape"}, nothing, sliceShape},
	{18, []string{"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"},
		attrsToInputs("axes"), inputsToAttrs("axes")},
	{18, []string{"Split"}, countOutputs, dropAttr("num_outputs")},
	{19, []string{"Cast"}, nothing, dropAttr("saturate")},
	// What vision models hold and no text encoder does.
	{19, []string{"Resize"}, nil, nil},
	{20, []string{"GridSample", "DFT"}, nil, nil},
	{21, []string{"GroupNormalization"}, nil, nil},
}

// former carries nodes over; what b appends comes to stand behind the node.
type former struct{ b *graph.Builder }

// upgrade brings m's operators into the forms of irOpset and infers its types. Where it fails,
// m is not to be used any more.
func upgrade(m *graph.Model) error {
	from := m.Opset("")
	if from == 0 {
		from = irOpset
		m.SetOpset("", irOpset)
	}
	m.Graph.Walk(plainConstant)
	if err := graph.Infer(m); err != nil {
		return err
	}
	if from >= irOpset {
		return nil
	}
	if from < oldestOpset {
		return fmt.Errorf("the model is written against opset %d; opsets from %d on are read", from, oldestOpset)
	}
	for _, f := range forms {
		if n := first(m, f); n != nil && f.at > from && f.up == nil {
			return fmt.Errorf("node %q: %s of opset %d cannot be carried over to opset %d", n.Name, n.Op, from, irOpset)
		}
	}
	if err := reform(m, func(f form) func(*former, *graph.Node) error {
		if f.at > from {
			return f.up
		}
		return nil
	}); err != nil {
		return err
	}
	m.SetOpset("", irOpset)
	return nil
}

// downgrade brings m's operators from the forms of irOpset into those of opset.
func downgrade(m *graph.Model, opset int64) error {
	var err error
	m.Graph.Walk(func(n *graph.Node) {
		if n.Domain != "" && n.Domain != "ai.onnx" || err != nil {
			return
		}
		if graph.LookupOp("", n.Op, math.MaxInt64) != nil && graph.LookupOp("", n.Op, opset) == nil {
			err = fmt.Errorf("node %q: opset %d has no operator %s", n.Name, opset, n.Op)
		}
	})
	if err != nil {
		return err
	}
	return reform(m, func(f form) func(*former, *graph.Node) error {
		if f.at > opset {
			return f.down
		}
		return nil
	})
}

func first(m *graph.Model, f form) *graph.Node {
	var found *graph.Node
	m.Graph.Walk(func(n *graph.Node) {
		if found == nil && n.Is(n.Op) && slices.Contains(f.ops, n.Op) {
			found = n
		}
	})
	return found
}

// reform applies to every node the functions that pick chooses from forms.
func reform(m *graph.Model, pick func(form) func(*former, *graph.Node) error) error {
	table := make(map[string][]func(*former, *graph.Node) error)
	for _, f := range forms {
		if apply := pick(f); apply != nil {
			for _, op := range f.ops {
				table[op] = append(table[op], apply)
			}
		}
	}
	scratch := *m.Graph
	fm := &former{graph.NewBuilder(&scratch, nil)}
	scratch.Initializers = nil
	var failed error
	m.Graph.WalkGraphs(func(g *graph.Graph) {
		var nodes []*graph.Node
		for _, n := range g.Nodes {
			scratch.Nodes = nil
			if n.Is(n.Op) {
				for _, apply := range table[n.Op] {
					if err := apply(fm, n); err != nil && failed == nil {
						failed = fmt.Errorf("node %q (%s): %w", n.Name, n.Op, err)
					}
				}
			}
			nodes = append(append(nodes, n), scratch.Nodes...)
		}
		g.Nodes = nodes
	})
	m.Graph.Initializers = append(m.Graph.Initializers, scratch.Initializers...)
	return failed
}

// plainConstant gives a Constant that holds numbers in another attribute the attribute value.
func plainConstant(n *graph.Node) {
	if !n.Is("Constant") || len(n.Attrs) != 1 {
		return
	}
	a := &n.Attrs[0]
	switch a.Name {
	case "value_float":
		*a = graph.TensorAttr("value", graph.NewTensor("", []float32{a.Float}))
	case "value_floats":
		*a = graph.TensorAttr("value", graph.NewTensor("", a.Floats, int64(len(a.Floats))))
	case "value_int":
		*a = graph.TensorAttr("value", graph.NewTensor("", []int64{a.Int}))
	case "value_ints":
		*a = graph.TensorAttr("value", graph.NewTensor("", a.Ints, int64(len(a.Ints))))
	}
}

func nothing(*former, *graph.Node) error { return nil }

// attrsToInputs makes list attributes into the inputs behind the first.
func attrsToInputs(names ...string) func(*former, *graph.Node) error {
	return func(f *former, n *graph.Node) error {
		for i, name := range names {
			a := n.Attr(name)
			if a == nil {
				continue
			}
			list := a.Ints
			if a.Kind == graph.AttrInt {
				list = []int64{a.Int}
			}
			for len(n.Inputs) <= i+1 {
				n.Inputs = append(n.Inputs, nil)
			}
			n.Inputs[i+1] = f.b.Int64s(list...)
			removeAttr(n, name)
		}
		return nil
	}
}

// inputsToAttrs makes the constant inputs behind the first into list attributes.
func inputsToAttrs(names ...string) func(*former, *graph.Node) error {
	return func(f *former, n *graph.Node) error {
		for i, name := range names {
			v := n.Input(i + 1)
			if v == nil {
				continue
			}
			t := v.Const()
			if t == nil {
				return fmt.Errorf("input %q is computed; the opset asked for takes a constant", v.Name)
			}
			list, err := t.Int64s()
			if err != nil {
				return err
			}
			if len(list) == 0 && n.Int("noop_with_empty_axes", 0) != 0 {
				return fmt.Errorf("an empty list of axes; the opset asked for cannot say that nothing is reduced")
			}
			if len(list) > 0 {
				n.SetAttr(graph.IntsAttr(name, list...))
			}
		}
		removeAttr(n, "noop_with_empty_axes")
		n.Inputs = n.Inputs[:1]
		return nil
	}
}

func dropAttr(name string) func(*former, *graph.Node) error {
	return func(_ *former, n *graph.Node) error {
		removeAttr(n, name)
		return nil
	}
}

func removeAttr(n *graph.Node, name string) {
	n.Attrs = slices.DeleteFunc(n.Attrs, func(a graph.Attr) bool { return a.Name == name })
}

// clipLimits: Clip's limits became inputs in opset 11.
func clipLimits(f *former, n *graph.Node) error {
	n.Inputs = append(n.Inputs[:1:1], nil, nil)
	for i, name := range []string{"min", "max"} {
		if a := n.Attr(name); a != nil {
			n.Inputs[i+1] = f.b.Scalar(a.Float)
			removeAttr(n, name)
		}
	}
	return nil
}

// padding: Pad's amounts and value became inputs in opset 11.
func padding(f *former, n *graph.Node) error {
	n.Inputs = append(n.Inputs[:1:1], f.b.Int64s(n.Ints("pads")...), f.b.Scalar(n.Float("value", 0)))
	removeAttr(n, "pads")
	removeAttr(n, "value")
	return nil
}

// dropRatio: Dropout's ratio became an input in opset 12.
func dropRatio(f *former, n *graph.Node) error {
	n.Inputs = append(n.Inputs[:1:1], f.b.Scalar(n.Float("ratio", 0.5)))
	removeAttr(n, "ratio")
	return nil
}

// softmaxAxis: up to opset 12 Softmax ran over all axes from axis on, 1 unless said otherwise.
func softmaxAxis(_ *former, n *graph.Node) error {
	axis := n.Int("axis", 1)
	if rank := len(n.Input(0).Shape()); axis != -1 && (n.Input(0).Shape() == nil || axis != int64(rank)-1) {
		return fmt.Errorf("axis %d of %v is not the last", axis, n.Input(0))
	}
	n.SetAttr(graph.IntAttr("axis", -1))
	return nil
}

// countOutputs: since opset 18 an equal Split says into how many parts.
func countOutputs(_ *former, n *graph.Node) error {
	if n.Input(1) == nil && n.Attr("num_outputs") == nil {
		n.SetAttr(graph.IntAttr("num_outputs", int64(len(n.Outputs))))
	}
	return nil
}

// sliceShape: before opset 15 Shape gave all sizes.
func sliceShape(f *former, n *graph.Node) error {
	start, end := n.Int("start", 0), n.Int("end", 1<<31-1)
	removeAttr(n, "start")
	removeAttr(n, "end")
	if start == 0 && end == 1<<31-1 {
		return nil
	}
	old := n.Outputs[0]
	b := f.b
	whole := graph.NewValue(old.Name+"/whole", nil)
	n.SetOutput(0, whole)
	part := b.Slice(whole, 0, start, end)
	part.Def().SetOutput(0, old)
	return nil
}
