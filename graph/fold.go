package graph

import (
	"errors"
	"fmt"
)

// ErrNoFold says that a node is not one that this package evaluates: its operator, an element
// type, an attribute or a size is not covered.
var ErrNoFold = errors.New("not evaluated here")

// Folding is what an operator's Fold function sees of one node.
type Folding struct {
	Node  *Node
	Opset int64     // version of the operator set of the node's domain
	In    []*Tensor // one for each input, nil where it is left out

	infer func(*Inference) error // the operator's
}

// mostComputed bounds the elements that one evaluation computes. Operators that only move
// data (Transpose, Cast, Reshape and their like) have no bound: their results are Derived.
const mostComputed = 1 << 16

// Evaluate computes the outputs of n from constant inputs, as numpy would: the reference for
// ONNX's own operator tests. in has one tensor for each input, nil where it is left out.
// Large results of operators that only move data are computed when they are read or written.
// The error is ErrNoFold where the node is not covered.
func Evaluate(n *Node, opset int64, in []*Tensor) ([]*Tensor, error) {
	op := LookupOp(n.Domain, n.Op, opset)
	if op == nil || op.Fold == nil || !op.In.holds(countTensors(in)) || !op.Out.holds(len(n.Outputs)) {
		return nil, ErrNoFold
	}
	for i := range op.In.Min {
		if in[i] == nil {
			return nil, ErrNoFold
		}
	}
	for _, a := range n.Attrs {
		if a.Ref != "" {
			return nil, ErrNoFold
		}
	}
	out, err := op.Fold(&Folding{Node: n, Opset: opset, In: in, infer: op.Infer})
	if err != nil && !errors.Is(err, ErrNoFold) {
		return nil, fmt.Errorf("evaluate node %q (%s): %w", n.Name, n.Op, err)
	}
	if err == nil && len(out) < len(n.Outputs) {
		return nil, ErrNoFold
	}
	return out, err
}

func countTensors(list []*Tensor) int {
	n := len(list)
	for n > 0 && list[n-1] == nil {
		n--
	}
	return n
}

// input is input i, or nil.
func (f *Folding) input(i int) *Tensor {
	if i < len(f.In) {
		return f.In[i]
	}
	return nil
}

// small refuses to compute on what is large.
func (f *Folding) small() error {
	for _, t := range f.In {
		if t != nil && (t.Len() < 0 || t.Len() > mostComputed) {
			return ErrNoFold
		}
	}
	return nil
}

// result is a tensor of output 0 alone.
func result(t *Tensor, err error) ([]*Tensor, error) {
	if err != nil {
		return nil, err
	}
	return []*Tensor{t}, nil
}

// sizes reads the elements of an integer input such as axes, nil where it is left out.
func (f *Folding) sizes(i int) ([]int64, error) {
	t := f.input(i)
	if t == nil {
		return nil, nil
	}
	if t.DType.IsFloat() || t.DType == String || t.Len() > mostElements {
		return nil, ErrNoFold
	}
	return t.Int64s()
}

// shapeByInference is the shape that the operator's inference finds for output i: evaluation
// and inference share their rules.
func (f *Folding) shapeByInference(i int) ([]int64, error) {
	shapes, err := f.shapesByInference()
	if err != nil {
		return nil, err
	}
	if i >= len(shapes) || shapes[i] == nil {
		return nil, ErrNoFold
	}
	return shapes[i], nil
}

func (f *Folding) shapesByInference() ([][]int64, error) {
	n := *f.Node
	n.Inputs = make([]*Value, len(f.In))
	for i, t := range f.In {
		if t != nil {
			n.Inputs[i] = &Value{Type: t.Type(), Init: t}
		}
	}
	inference := &Inference{Node: &n, Opset: f.Opset, run: newInferrer(&Model{}, nil, nil), out: make([]*Type, len(n.Outputs))}
	if err := f.infer(inference); err != nil {
		return nil, err
	}
	out := make([][]int64, len(n.Outputs))
	for i, t := range inference.out {
		if t != nil {
			if sizes, ok := t.Shape.Sizes(); ok && Count(sizes) >= 0 {
				out[i] = sizes
			}
		}
	}
	return out, nil
}
