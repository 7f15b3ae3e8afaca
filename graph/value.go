package graph

import (
	"fmt"
	"strconv"
	"strings"
)

// Dim is one axis of a shape: a size, a symbol such as "batch", or unknown (the zero Dim is the size 0).
type Dim struct {
	Size   int64  // the size; -1 where only the symbol is known or nothing is
	Symbol string // dim_param
}

// Size returns a known dimension, Symbol a named one, AnyDim one of which nothing is known.
func Size(n int64) Dim       { return Dim{Size: n} }
func Symbol(name string) Dim { return Dim{Size: -1, Symbol: name} }

// AnyDim is a dimension of which nothing is known.
var AnyDim = Dim{Size: -1}

// Known reports whether the size is known.
func (d Dim) Known() bool { return d.Size >= 0 }

func (d Dim) String() string {
	switch {
	case d.Known():
		return strconv.FormatInt(d.Size, 10)
	case d.Symbol != "":
		return d.Symbol
	}
	return "?"
}

// Shape is a list of dimensions. A nil Shape has unknown rank; an empty one is a scalar.
type Shape []Dim

// Dims makes a shape of known sizes.
func Dims(sizes ...int64) Shape {
	s := make(Shape, len(sizes))
	for i, n := range sizes {
		s[i] = Size(n)
	}
	return s
}

// Sizes returns the sizes and true where all are known.
func (s Shape) Sizes() ([]int64, bool) {
	if s == nil {
		return nil, false
	}
	out := make([]int64, len(s))
	for i, d := range s {
		if !d.Known() {
			return nil, false
		}
		out[i] = d.Size
	}
	return out, true
}

func (s Shape) String() string {
	if s == nil {
		return "[…]"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// Type is what is known of a value: a tensor of Elem and Shape, or, where Wire is set and
// Elem is Undefined, a type that the IR does not model (sequence, map, optional, sparse).
type Type struct {
	Elem  DType
	Shape Shape
	Wire  []byte // TypeProto to write back unchanged where it says more than Elem and Shape; belongs to the codec
}

// Tensor type of elem and dims.
func TensorType(elem DType, dims ...Dim) *Type {
	if dims == nil {
		dims = []Dim{}
	}
	return &Type{Elem: elem, Shape: dims}
}

func (t *Type) String() string {
	if t == nil {
		return "?"
	}
	return fmt.Sprintf("%v%v", t.Elem, t.Shape)
}

// Value is an edge of the graph: an input, an initializer, or an output of one node.
type Value struct {
	Name     string
	Type     *Type   // nil where unknown
	Init     *Tensor // the data of an initializer, otherwise nil
	Doc      string
	Metadata []Property
	Extra    []byte // fields of ValueInfoProto not modelled

	def *Node // the node that writes it
}

// NewValue makes a value that no node writes.
func NewValue(name string, t *Type) *Value { return &Value{Name: name, Type: t} }

// Def is the node that writes v; nil for inputs and initializers.
func (v *Value) Def() *Node { return v.def }

// Const returns the constant tensor behind v: its initializer, or the "value" of the
// Constant node that writes it; nil where v is not constant.
func (v *Value) Const() *Tensor {
	switch {
	case v == nil:
		return nil
	case v.Init != nil:
		return v.Init
	case v.def != nil && v.def.Op == "Constant" && v.def.Domain == "":
		if a := v.def.Attr("value"); a != nil && a.Kind == AttrTensor {
			return a.Tensor
		}
	}
	return nil
}

// Shape returns the known shape of v, nil where the rank is unknown.
func (v *Value) Shape() Shape {
	if v.Type == nil {
		return nil
	}
	return v.Type.Shape
}

// DType returns the element type of v, Undefined where it is unknown.
func (v *Value) DType() DType {
	if v.Type == nil {
		return Undefined
	}
	return v.Type.Elem
}

func (v *Value) String() string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%q %v", v.Name, v.Type)
}
