package graph

// Node is one application of an operator.
type Node struct {
	Name     string
	Op       string // operator name as in the specification
	Domain   string // "" is ai.onnx
	Overload string
	Inputs   []*Value // nil where an optional input is left out
	Outputs  []*Value // nil where an optional output is left out; write through SetOutput
	Attrs    []Attr
	Doc      string
	Metadata []Property
	Extra    []byte
}

// NewNode makes a node that reads inputs and writes outputs.
func NewNode(op string, inputs, outputs []*Value, attrs ...Attr) *Node {
	n := &Node{Op: op, Inputs: inputs, Attrs: attrs}
	n.Outputs = make([]*Value, len(outputs))
	for i, v := range outputs {
		n.SetOutput(i, v)
	}
	return n
}

// SetOutput makes n the writer of v, as output i. The value's former writer keeps a nil in its place.
func (n *Node) SetOutput(i int, v *Value) {
	for len(n.Outputs) <= i {
		n.Outputs = append(n.Outputs, nil)
	}
	if old := n.Outputs[i]; old != nil && old.def == n {
		old.def = nil
	}
	if v != nil && v.def != nil && v.def != n {
		for j, o := range v.def.Outputs {
			if o == v {
				v.def.Outputs[j] = nil
			}
		}
	}
	n.Outputs[i] = v
	if v != nil {
		v.def = n
	}
}

// Is reports whether n is operator op of the default domain.
func (n *Node) Is(op string) bool {
	return n != nil && n.Op == op && (n.Domain == "" || n.Domain == "ai.onnx")
}

// Input returns input i, nil where it is absent or left out.
func (n *Node) Input(i int) *Value {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return nil
}

// Output returns output i, nil where it is absent or left out.
func (n *Node) Output(i int) *Value {
	if i < len(n.Outputs) {
		return n.Outputs[i]
	}
	return nil
}

// Attr returns the attribute called name, or nil.
func (n *Node) Attr(name string) *Attr {
	for i := range n.Attrs {
		if n.Attrs[i].Name == name {
			return &n.Attrs[i]
		}
	}
	return nil
}

// SetAttr adds a, replacing an attribute of the same name.
func (n *Node) SetAttr(a Attr) {
	if old := n.Attr(a.Name); old != nil {
		*old = a
		return
	}
	n.Attrs = append(n.Attrs, a)
}

// Int, Float, Str and Ints return an attribute's value, or the default where it is absent or of another kind.
func (n *Node) Int(name string, def int64) int64 {
	if a := n.Attr(name); a != nil && a.Kind == AttrInt {
		return a.Int
	}
	return def
}

func (n *Node) Float(name string, def float32) float32 {
	if a := n.Attr(name); a != nil && a.Kind == AttrFloat {
		return a.Float
	}
	return def
}

func (n *Node) Str(name, def string) string {
	if a := n.Attr(name); a != nil && a.Kind == AttrString {
		return a.Str
	}
	return def
}

func (n *Node) Ints(name string) []int64 {
	if a := n.Attr(name); a != nil && a.Kind == AttrInts {
		return a.Ints
	}
	return nil
}

// Meta returns the value of a metadata key of n, or "".
func (n *Node) Meta(key string) string {
	for _, p := range n.Metadata {
		if p.Key == key {
			return p.Value
		}
	}
	return ""
}

// SetMeta sets a metadata key of n (written from IR version 10 on).
func (n *Node) SetMeta(key, value string) { n.Metadata = setProperty(n.Metadata, key, value) }

// AttrKind is an attribute's type, numbered as AttributeProto.AttributeType.
type AttrKind int32

// The kinds of attribute.
const (
	AttrUndefined     AttrKind = 0
	AttrFloat         AttrKind = 1
	AttrInt           AttrKind = 2
	AttrString        AttrKind = 3
	AttrTensor        AttrKind = 4
	AttrGraph         AttrKind = 5
	AttrFloats        AttrKind = 6
	AttrInts          AttrKind = 7
	AttrStrings       AttrKind = 8
	AttrTensors       AttrKind = 9
	AttrGraphs        AttrKind = 10
	AttrSparseTensor  AttrKind = 11 // kept in Extra
	AttrSparseTensors AttrKind = 12 // kept in Extra
	AttrType          AttrKind = 13 // kept in Extra
	AttrTypes         AttrKind = 14 // kept in Extra
)

// Attr is a named constant of a node. Kind says which field holds it.
type Attr struct {
	Name    string
	Kind    AttrKind
	Float   float32
	Int     int64
	Str     string // bytes, not necessarily UTF-8
	Tensor  *Tensor
	Graph   *Graph
	Floats  []float32
	Ints    []int64
	Strs    []string
	Tensors []*Tensor
	Graphs  []*Graph
	Ref     string // ref_attr_name, inside functions
	Doc     string
	Extra   []byte
}

// IntAttr, FloatAttr, StrAttr, IntsAttr, TensorAttr and GraphAttr make attributes.
func IntAttr(name string, v int64) Attr      { return Attr{Name: name, Kind: AttrInt, Int: v} }
func FloatAttr(name string, v float32) Attr  { return Attr{Name: name, Kind: AttrFloat, Float: v} }
func StrAttr(name, v string) Attr            { return Attr{Name: name, Kind: AttrString, Str: v} }
func IntsAttr(name string, v ...int64) Attr  { return Attr{Name: name, Kind: AttrInts, Ints: v} }
func TensorAttr(name string, t *Tensor) Attr { return Attr{Name: name, Kind: AttrTensor, Tensor: t} }
func GraphAttr(name string, g *Graph) Attr   { return Attr{Name: name, Kind: AttrGraph, Graph: g} }

// subgraphs calls f for every graph held by n's attributes.
func (n *Node) subgraphs(f func(*Graph)) {
	for i := range n.Attrs {
		if g := n.Attrs[i].Graph; g != nil {
			f(g)
		}
		for _, g := range n.Attrs[i].Graphs {
			f(g)
		}
	}
}
