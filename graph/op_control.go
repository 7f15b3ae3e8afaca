package graph

import (
	"fmt"
	"slices"
)

// controlOps make constants and run subgraphs.
var controlOps = []Op{
	{Name: "Constant", Since: 1, In: exactly(0), Out: one, Infer: inferConstant, Fold: foldConstant},
	{Name: "ConstantOfShape", Since: 9, In: one, Out: one, Infer: inferConstantOfShape, Fold: foldConstantOfShape},
	{Name: "Identity", Since: 1, In: one, Out: one, Infer: inferIdentity, Fold: foldIdentity},
	{Name: "If", Since: 1, In: one, Out: atLeast(1), Infer: inferIf},
	{Name: "Loop", Since: 1, In: atLeast(3), Out: atLeast(1), Infer: inferLoop},
	{Name: "Loop", Since: 11, In: atLeast(2), Out: atLeast(1), Infer: inferLoop},
	{Name: "Scan", Since: 8, In: atLeast(2), Out: atLeast(1)}, // had a batch axis
	{Name: "Scan", Since: 9, In: atLeast(1), Out: atLeast(1), Infer: inferScan},
	{Name: "Bernoulli", Since: 15, In: one, Out: one, Infer: inferEyeLike},
	{Name: "RandomNormalLike", Since: 1, In: one, Out: one, Infer: inferEyeLike},
	{Name: "RandomUniformLike", Since: 1, In: one, Out: one, Infer: inferEyeLike},
}

func inferIdentity(f *Inference) error {
	f.setElements(0, f.elements(0))
	f.setType(0, f.run.typeOf(f.Node.Input(0)))
	return nil
}

func inferConstant(f *Inference) error {
	t := constantOf(f.Node)
	if t == nil {
		return nil // a sparse tensor, which the IR does not model
	}
	f.setType(0, t.Type())
	f.setElements(0, smallInts(t))
	return nil
}

// constantOf is the tensor that a Constant node holds, in whichever attribute; nil for sparse ones.
func constantOf(n *Node) *Tensor {
	for _, a := range n.Attrs {
		switch {
		case a.Name == "value" && a.Kind == AttrTensor:
			return a.Tensor
		case a.Name == "value_int" && a.Kind == AttrInt:
			return NewTensor("", []int64{a.Int})
		case a.Name == "value_ints" && a.Kind == AttrInts:
			return NewTensor("", a.Ints, int64(len(a.Ints)))
		case a.Name == "value_float" && a.Kind == AttrFloat:
			return NewTensor("", []float32{a.Float})
		case a.Name == "value_floats" && a.Kind == AttrFloats:
			return NewTensor("", a.Floats, int64(len(a.Floats)))
		case a.Name == "value_string" && a.Kind == AttrString:
			return &Tensor{DType: String, Shape: []int64{}, Strings: []string{a.Str}}
		case a.Name == "value_strings" && a.Kind == AttrStrings:
			return &Tensor{DType: String, Shape: []int64{int64(len(a.Strs))}, Strings: a.Strs}
		}
	}
	return nil
}

func inferConstantOfShape(f *Inference) error {
	elem := Float
	fill := constants(0)
	if a := f.Node.Attr("value"); a != nil && a.Tensor != nil {
		elem = a.Tensor.DType
		fill = smallInts(a.Tensor)
	}
	target := f.elements(0)
	if target == nil {
		var s Shape
		if n := f.Shape(0); len(n) == 1 && n[0].Known() && n[0].Size <= mostElements {
			s = anyShape(int(n[0].Size))
		}
		f.Set(0, elem, s)
		return nil
	}
	s, err := shapeOf(target)
	if err != nil {
		return err
	}
	f.Set(0, elem, s)
	if !elem.IsFloat() && len(fill) == 1 && len(s) == 1 && s[0].Known() && s[0].Size <= mostElements {
		f.setElements(0, slices.Repeat(fill, int(s[0].Size)))
	}
	return nil
}

// inferIf keeps what both branches agree on.
func inferIf(f *Inference) error {
	var branches [2][]*Type
	for i, name := range []string{"then_branch", "else_branch"} {
		a := f.Node.Attr(name)
		if a == nil || a.Graph == nil {
			return fmt.Errorf("attribute %q is missing", name)
		}
		var err error
		if branches[i], err = f.inferSubgraph(a.Graph, nil); err != nil {
			return err
		}
		if len(branches[i]) != len(f.out) {
			return fmt.Errorf("%s has %d outputs, the node %d", name, len(branches[i]), len(f.out))
		}
	}
	for i := range f.out {
		f.out[i] = common(branches[0][i], branches[1][i])
	}
	return nil
}

// common is what holds for a value that is of type a or of type b.
func common(a, b *Type) *Type {
	if a == nil || b == nil || a.Elem != b.Elem {
		return nil
	}
	t := &Type{Elem: a.Elem}
	if a.Elem == Undefined {
		t.Wire = a.Wire
	}
	if a.Shape != nil && len(a.Shape) == len(b.Shape) {
		t.Shape = slices.Clone(a.Shape)
		for i, d := range b.Shape {
			if t.Shape[i] != d {
				t.Shape[i] = AnyDim
			}
		}
	}
	return t
}

// looseType is t without its shape: what is carried round a loop may grow.
func looseType(t *Type) *Type {
	if t == nil || t.Elem == Undefined {
		return t
	}
	return &Type{Elem: t.Elem}
}

// inferLoop gives carried values the element types that they enter with, and each scan output
// an axis in front, as long as the loop runs.
func inferLoop(f *Inference) error {
	body := f.Node.Attr("body")
	if body == nil || body.Graph == nil {
		return fmt.Errorf("attribute \"body\" is missing")
	}
	if len(f.Node.Inputs) < 2 {
		return fmt.Errorf("%d inputs, want at least 2", len(f.Node.Inputs))
	}
	in := []*Type{TensorType(Int64), TensorType(Bool)}
	carried := max(0, len(f.Node.Inputs)-2)
	for _, v := range f.Node.Inputs[2:] {
		in = append(in, looseType(f.run.typeOf(v)))
	}
	out, err := f.inferSubgraph(body.Graph, in)
	if err != nil {
		return err
	}
	if len(out) != 1+len(f.out) {
		return fmt.Errorf("body has %d outputs, want %d", len(out), 1+len(f.out))
	}
	for i := range f.out {
		t := out[i+1]
		if i < carried {
			f.out[i] = looseType(common(t, in[i+2]))
		} else if t != nil && t.Elem != Undefined {
			f.Set(i, t.Elem, prepend(AnyDim, t.Shape))
		}
	}
	return nil
}

func prepend(d Dim, s Shape) Shape {
	if s == nil {
		return nil
	}
	return joinShapes(Shape{d}, s)
}

// inferScan cuts an axis off each scanned input and adds one to each scanned output.
func inferScan(f *Inference) error {
	body := f.Node.Attr("body")
	if body == nil || body.Graph == nil {
		return fmt.Errorf("attribute \"body\" is missing")
	}
	scanned := f.Node.Int("num_scan_inputs", 0)
	states := len(f.Node.Inputs) - int(scanned)
	if scanned < 0 || states < 0 || states > len(f.out) {
		return fmt.Errorf("num_scan_inputs %d of %d inputs and %d outputs", scanned, len(f.Node.Inputs), len(f.out))
	}
	in := make([]*Type, len(f.Node.Inputs))
	length := AnyDim
	for i := range in {
		s := f.Shape(i)
		in[i] = &Type{Elem: f.Elem(i), Shape: s}
		if i < states || s == nil {
			continue
		}
		axis, err := f.checkAxis(scanAxis(f.Node, "scan_input_axes", i-states), len(s))
		if err != nil {
			return err
		}
		if length == AnyDim {
			length = s[axis]
		}
		in[i].Shape = slices.Delete(slices.Clone(s), axis, axis+1)
	}
	out, err := f.inferSubgraph(body.Graph, in)
	if err != nil {
		return err
	}
	for i := range min(len(f.out), len(out)) {
		t := out[i]
		if t == nil || i < states {
			f.out[i] = t
			continue
		}
		s := t.Shape
		if s != nil {
			axis, err := f.checkAxis(scanAxis(f.Node, "scan_output_axes", i-states), len(s)+1)
			if err != nil {
				return err
			}
			s = slices.Insert(slices.Clone(s), axis, length)
		}
		f.Set(i, t.Elem, s)
	}
	return nil
}

func scanAxis(n *Node, attr string, i int) int64 {
	if axes := n.Ints(attr); i < len(axes) {
		return axes[i]
	}
	return 0
}
