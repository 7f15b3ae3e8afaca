package graph

import (
	"fmt"
	"slices"
	"strings"
)

// Inference is what an operator's Infer function sees of one node, and where it puts the
// types of the outputs.
type Inference struct {
	Node  *Node // attributes that refer to a function's are resolved
	Opset int64 // version of the operator set of the node's domain

	run *inferrer
	out []*Type
}

// Has reports whether input i is given.
func (f *Inference) Has(i int) bool { return f.Node.Input(i) != nil }

// Elem is the element type of input i, Undefined where it is unknown.
func (f *Inference) Elem(i int) DType {
	if t := f.run.typeOf(f.Node.Input(i)); t != nil {
		return t.Elem
	}
	return Undefined
}

// Shape is the shape of input i, nil where its rank is unknown; not to be modified.
func (f *Inference) Shape(i int) Shape {
	if t := f.run.typeOf(f.Node.Input(i)); t != nil {
		return t.Shape
	}
	return nil
}

// Set gives output i its type; a nil shape has unknown rank.
func (f *Inference) Set(i int, elem DType, shape Shape) {
	f.setType(i, &Type{Elem: elem, Shape: shape})
}

func (f *Inference) setType(i int, t *Type) {
	if i < len(f.out) {
		f.out[i] = t
	}
}

// SetShape gives output i the element type of input 0 and shape.
func (f *Inference) SetShape(i int, shape Shape) { f.Set(i, f.Elem(0), shape) }

// elements are the known elements of input i, an integer or bool tensor of at most mostElements
// in rank 0 or 1; nil where they are not known. Single elements may be unknown.
func (f *Inference) elements(i int) []expr { return f.run.elementsOf(f.Node.Input(i)) }

// ints are the elements of input i where all are known integers.
func (f *Inference) ints(i int) ([]int64, bool) { return integers(f.elements(i)) }

// setElements states the elements of output i.
func (f *Inference) setElements(i int, list []expr) {
	if v := f.Node.Output(i); v != nil && list != nil && len(list) <= mostElements {
		f.run.elements[v] = list
	}
}

// axis reads attribute name as an axis of a tensor of rank, counted from the end where negative.
func (f *Inference) axis(name string, def int64, rank int) (int, error) {
	return f.checkAxis(f.Node.Int(name, def), rank)
}

func (f *Inference) checkAxis(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d of a tensor of rank %d", axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// inferSubgraph infers g, a body of the node, with the given types of its inputs, and returns
// the types of its outputs.
func (f *Inference) inferSubgraph(g *Graph, inputs []*Type) ([]*Type, error) {
	for i, v := range g.Inputs {
		if i < len(inputs) && inputs[i] != nil {
			f.run.types[v] = merge(v.Type, inputs[i])
		}
	}
	if err := f.run.graph(g); err != nil {
		return nil, err
	}
	out := make([]*Type, len(g.Outputs))
	for i, v := range g.Outputs {
		out[i] = f.run.typeOf(v)
	}
	return out, nil
}

// Infer fills in the types of all values of m that can be told from its inputs and weights,
// symbols included: what a Reshape makes of [batch, sequence, 384] by way of Shape, Gather and
// Concat keeps its names. Operators that the table does not have leave their outputs unknown;
// a contradiction, such as a MatMul of [2, 3] and [4, 5], is an error that names the node.
// Types that the file states stay where inference finds less.
func Infer(m *Model) error {
	_, err := infer(m)
	return err
}

// InferElements does what Infer does and also returns the elements of the integer and bool
// tensors of rank 0 or 1 that are the same for every input, constants left out: of the shape
// of [batch, sequence, 384] the last one, cut out by a Gather, is 384.
func InferElements(m *Model) (map[*Value]*Tensor, error) {
	r, err := infer(m)
	if err != nil {
		return nil, err
	}
	known := map[*Value]*Tensor{}
	for v, list := range r.elements {
		ns, ok := integers(list)
		t := r.types[v]
		if !ok || t == nil || v.Init != nil || len(t.Shape) > 1 || t.Shape == nil {
			continue
		}
		shape, full := t.Shape.Sizes()
		if !full || Count(shape) != int64(len(ns)) || kind(t.Elem) != 'i' {
			continue
		}
		if known[v], err = tensorOf(t.Elem, shape, ns); err != nil {
			return nil, fmt.Errorf("infer elements of %q: %w", v.Name, err)
		}
	}
	return known, nil
}

func infer(m *Model) (*inferrer, error) {
	if m.Graph == nil {
		return nil, fmt.Errorf("infer types: the model has no graph")
	}
	r := newInferrer(m, m.Opsets, LookupOp)
	if err := r.graph(m.Graph); err != nil {
		return nil, fmt.Errorf("infer types: %w", err)
	}
	for v, t := range r.types {
		if m.Graph.IsOutput(v) {
			t = keepNames(v.Type, t)
		}
		v.Type = t
	}
	return r, nil
}

// keepNames puts the names that a graph output's stated type gives its dimensions in place of inferred ones:
// they are part of the model's contract.
func keepNames(stated, t *Type) *Type {
	if stated == nil || len(stated.Shape) != len(t.Shape) {
		return t
	}
	named := *t
	named.Shape = slices.Clone(t.Shape)
	for i, d := range stated.Shape {
		if d.Symbol != "" && !named.Shape[i].Known() {
			named.Shape[i] = d
		}
	}
	return &named
}

// inferrer holds the types found so far. A call of a function has its own: one body serves
// many calls.
type inferrer struct {
	model    *Model
	opsets   []Opset
	lookup   func(domain, name string, version int64) *Op // LookupOp; the table's functions cannot name it
	types    map[*Value]*Type
	elements map[*Value][]expr
	call     *Node // the node whose function body is being inferred
	function *Function
	depth    int
}

func newInferrer(m *Model, opsets []Opset, lookup func(domain, name string, version int64) *Op) *inferrer {
	return &inferrer{model: m, opsets: opsets, lookup: lookup, types: map[*Value]*Type{}, elements: map[*Value][]expr{}}
}

// typeOf is what is known of v: what was found, or else what the file states.
func (r *inferrer) typeOf(v *Value) *Type {
	if v == nil {
		return nil
	}
	if t, ok := r.types[v]; ok {
		return t
	}
	if v.Init != nil {
		return v.Init.Type()
	}
	return v.Type
}

func (r *inferrer) graph(g *Graph) error {
	for _, n := range g.Nodes {
		if err := r.node(n); err != nil {
			return fmt.Errorf("graph %q: node %q (%s) of inputs %s: %w", g.Name, n.Name, n.Op, r.describe(n.Inputs), err)
		}
	}
	return nil
}

func (r *inferrer) describe(list []*Value) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = r.typeOf(v).String()
	}
	return strings.Join(parts, ", ")
}

func (r *inferrer) node(n *Node) error {
	f := &Inference{Node: r.resolve(n), Opset: OpsetOf(r.opsets, n.Domain), run: r, out: make([]*Type, len(n.Outputs))}
	var err error
	if fn := r.model.FunctionOf(n); fn != nil {
		err = r.inferCall(f, fn)
	} else if op := r.lookup(n.Domain, n.Op, f.Opset); op != nil && op.Infer != nil {
		err = op.Infer(f)
	} else {
		n.subgraphs(func(g *Graph) {
			if err == nil {
				err = r.graph(g)
			}
		})
	}
	if err != nil {
		return err
	}
	for i, v := range n.Outputs {
		if v == nil {
			continue
		}
		t := merge(v.Type, f.out[i])
		if t != nil {
			r.types[v] = t
		}
	}
	return nil
}

// mostDepth bounds how deep functions call each other; the specification forbids recursion.
const mostDepth = 32

// inferCall infers the body of fn for the call f.
func (r *inferrer) inferCall(f *Inference, fn *Function) error {
	if r.depth == mostDepth || fn.Body == nil {
		return fmt.Errorf("function %q calls itself or has no body", fn.Name)
	}
	in := newInferrer(r.model, fn.Opsets, r.lookup)
	in.call, in.function, in.depth = f.Node, fn, r.depth+1
	for i, v := range fn.Body.Inputs {
		a := f.Node.Input(i)
		if t := r.typeOf(a); t != nil {
			in.types[v] = t
		}
		if e := r.elementsOf(a); e != nil {
			in.elements[v] = e
		}
	}
	if err := in.graph(fn.Body); err != nil {
		return fmt.Errorf("function %q: %w", fn.Name, err)
	}
	for i, v := range fn.Body.Outputs {
		if i < len(f.out) {
			f.out[i] = in.typeOf(v)
			f.setElements(i, in.elementsOf(v))
		}
	}
	return nil
}

// resolve replaces attributes of n that refer to the enclosing function's by the caller's.
func (r *inferrer) resolve(n *Node) *Node {
	if r.call == nil || !slices.ContainsFunc(n.Attrs, func(a Attr) bool { return a.Ref != "" }) {
		return n
	}
	c := *n
	c.Attrs = nil
	for _, a := range n.Attrs {
		if a.Ref == "" {
			c.Attrs = append(c.Attrs, a)
			continue
		}
		given := r.call.Attr(a.Ref)
		for i := range r.function.Defaults {
			if given == nil && r.function.Defaults[i].Name == a.Ref {
				given = &r.function.Defaults[i]
			}
		}
		if given != nil {
			g := *given
			g.Name = a.Name
			c.Attrs = append(c.Attrs, g)
		}
	}
	return &c
}

// FunctionOf returns the model-local function that n calls, or nil.
func (m *Model) FunctionOf(n *Node) *Function {
	for _, f := range m.Functions {
		if f.Name == n.Op && sameDomain(f.Domain, n.Domain) && f.Overload == n.Overload {
			return f
		}
	}
	return nil
}

// merge is found with what stated adds: a size or a name of a dimension that found lacks.
func merge(stated, found *Type) *Type {
	switch {
	case found == nil:
		return stated
	case stated == nil:
		return found
	case stated.Wire != nil && found.Elem == Undefined:
		return stated
	}
	t := &Type{Elem: found.Elem, Shape: found.Shape}
	if t.Elem == Undefined {
		t.Elem = stated.Elem
	}
	switch {
	case t.Shape == nil:
		t.Shape = stated.Shape
	case len(stated.Shape) == len(t.Shape):
		t.Shape = slices.Clone(t.Shape)
		for i, d := range stated.Shape {
			if t.Shape[i] == AnyDim {
				t.Shape[i] = d
			}
		}
	}
	if t.Elem == stated.Elem && slices.Equal(t.Shape, stated.Shape) {
		t.Wire = stated.Wire
	}
	return t
}
