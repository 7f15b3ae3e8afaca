package graph

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
)

// Diff compares two models in everything they hold and returns one line for each difference,
// with the path to it; none where they are equal. Values are compared by name and by whether a
// node writes them, data by content, streamed. A nil list equals an empty one, except for shapes.
func Diff(a, b *Model) []string {
	d := &differ{}
	d.equal("ir_version", a.IRVersion, b.IRVersion)
	d.equal("opsets", a.Opsets, b.Opsets)
	d.equal("producer_name", a.ProducerName, b.ProducerName)
	d.equal("producer_version", a.ProducerVersion, b.ProducerVersion)
	d.equal("domain", a.Domain, b.Domain)
	d.equal("model_version", a.Version, b.Version)
	d.described("model", a.Doc, b.Doc, a.Metadata, b.Metadata, a.Extra, b.Extra)
	d.graphs("graph", a.Graph, b.Graph)
	compare(d, "functions", a.Functions, b.Functions, d.functions)
	return d.lines
}

type differ struct{ lines []string }

func (d *differ) add(path, format string, args ...any) {
	d.lines = append(d.lines, path+": "+fmt.Sprintf(format, args...))
}

// equal compares plain data: numbers, strings and lists of them.
func (d *differ) equal(path string, a, b any) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0 {
		return
	}
	if !reflect.DeepEqual(a, b) {
		d.add(path, "%#v is not %#v", a, b)
	}
}

// described compares what most things carry.
func (d *differ) described(path, docA, docB string, metaA, metaB []Property, extraA, extraB []byte) {
	d.equal(path+".doc", docA, docB)
	d.equal(path+".metadata", metaA, metaB)
	if !bytes.Equal(extraA, extraB) {
		d.add(path+".extra", "% x is not % x", extraA, extraB)
	}
}

// compare compares two lists item by item.
func compare[T any](d *differ, path string, a, b []T, item func(path string, a, b T)) {
	if len(a) != len(b) {
		d.add(path, "%d items are not %d", len(a), len(b))
	}
	for i := range min(len(a), len(b)) {
		item(fmt.Sprintf("%s[%d]", path, i), a[i], b[i])
	}
}

// missing reports whether a or b is nil, a difference where only one is.
func missing[T any](d *differ, path string, a, b *T) bool {
	if (a == nil) != (b == nil) {
		d.add(path, "only one is there (%v, %v)", a != nil, b != nil)
	}
	return a == nil || b == nil
}

func (d *differ) graphs(path string, a, b *Graph) {
	if missing(d, path, a, b) {
		return
	}
	d.equal(path+".name", a.Name, b.Name)
	d.described(path, a.Doc, b.Doc, a.Metadata, b.Metadata, a.Extra, b.Extra)
	compare(d, path+".input", a.Inputs, b.Inputs, d.values)
	compare(d, path+".output", a.Outputs, b.Outputs, d.values)
	compare(d, path+".initializer", a.Initializers, b.Initializers, d.values)
	compare(d, path+".value_info", a.ValueInfo, b.ValueInfo, d.values)
	compare(d, path+".node", a.Nodes, b.Nodes, d.nodes)
}

func (d *differ) functions(path string, a, b *Function) {
	path = fmt.Sprintf("%s %q", path, a.Name)
	d.equal(path+".name", []string{a.Domain, a.Name, a.Overload}, []string{b.Domain, b.Name, b.Overload})
	d.described(path, a.Doc, b.Doc, a.Metadata, b.Metadata, a.Extra, b.Extra)
	d.equal(path+".opsets", a.Opsets, b.Opsets)
	d.equal(path+".attribute", a.Attributes, b.Attributes)
	compare(d, path+".attribute_proto", a.Defaults, b.Defaults, d.attrs)
	d.graphs(path, a.Body, b.Body)
}

// values compares two values with their types and data.
func (d *differ) values(path string, a, b *Value) {
	d.operands(path, a, b)
	if a == nil || b == nil {
		return
	}
	path = fmt.Sprintf("%s %q", path, a.Name)
	d.described(path, a.Doc, b.Doc, a.Metadata, b.Metadata, a.Extra, b.Extra)
	if !missing(d, path+".type", a.Type, b.Type) {
		d.equal(path+".type.elem", a.Type.Elem, b.Type.Elem)
		d.equal(path+".type.shape", a.Type.Shape, b.Type.Shape)
		d.equal(path+".type.rank known", a.Type.Shape != nil, b.Type.Shape != nil)
		d.equal(path+".type.wire", a.Type.Wire, b.Type.Wire)
	}
	d.tensors(path, a.Init, b.Init)
}

// operands compares values as nodes refer to them.
func (d *differ) operands(path string, a, b *Value) {
	if missing(d, path, a, b) {
		return
	}
	d.equal(path+".name", a.Name, b.Name)
	d.equal(path+" written by a node", a.def != nil, b.def != nil)
}

func (d *differ) nodes(path string, a, b *Node) {
	path = fmt.Sprintf("%s %q (%s)", path, a.Name, a.Op)
	d.equal(path+".name", a.Name, b.Name)
	d.equal(path+".op", []string{a.Domain, a.Op, a.Overload}, []string{b.Domain, b.Op, b.Overload})
	d.described(path, a.Doc, b.Doc, a.Metadata, b.Metadata, a.Extra, b.Extra)
	compare(d, path+".input", a.Inputs, b.Inputs, d.operands)
	compare(d, path+".output", a.Outputs, b.Outputs, d.operands)
	compare(d, path+".attribute", a.Attrs, b.Attrs, d.attrs)
}

func (d *differ) attrs(path string, a, b Attr) {
	path = fmt.Sprintf("%s %q", path, a.Name)
	d.equal(path+".name", a.Name, b.Name)
	d.equal(path+".kind", a.Kind, b.Kind)
	d.equal(path+".ref", a.Ref, b.Ref)
	d.described(path, a.Doc, b.Doc, nil, nil, a.Extra, b.Extra)
	d.floats(path, append([]float32{a.Float}, a.Floats...), append([]float32{b.Float}, b.Floats...))
	d.equal(path+".i", a.Int, b.Int)
	d.equal(path+".ints", a.Ints, b.Ints)
	d.equal(path+".s", a.Str, b.Str)
	d.equal(path+".strings", a.Strs, b.Strs)
	d.tensors(path, a.Tensor, b.Tensor)
	compare(d, path+".tensors", a.Tensors, b.Tensors, d.tensors)
	d.graphs(path, a.Graph, b.Graph)
	compare(d, path+".graphs", a.Graphs, b.Graphs, d.graphs)
}

// floats compares by text, to which all NaNs are alike.
func (d *differ) floats(path string, a, b []float32) {
	d.equal(path+".f", fmt.Sprint(a), fmt.Sprint(b))
}

func (d *differ) tensors(path string, a, b *Tensor) {
	if missing(d, path+".tensor", a, b) {
		return
	}
	path = fmt.Sprintf("%s tensor %q", path, a.Name)
	d.equal(path+".name", a.Name, b.Name)
	d.equal(path+".dtype", a.DType, b.DType)
	d.equal(path+".shape", a.Shape, b.Shape)
	d.equal(path+".strings", a.Strings, b.Strings)
	d.described(path, a.Doc, b.Doc, a.Metadata, b.Metadata, a.Extra, b.Extra)
	switch {
	case a.Data == nil || b.Data == nil:
		d.equal(path+" holds data", a.Data != nil, b.Data != nil)
	case a.Data.Size() != b.Data.Size():
		d.add(path, "%d bytes of data are not %d", a.Data.Size(), b.Data.Size())
	default:
		d.data(path, a.Data, b.Data)
	}
}

// data compares by digest, so that neither side has to be in memory.
func (d *differ) data(path string, a, b Data) {
	if x, ok := a.(Raw); ok {
		if y, ok := b.(Raw); ok && bytes.Equal(x, y) {
			return
		}
	}
	x, y := sha256.New(), sha256.New()
	if _, err := a.WriteTo(x); err != nil {
		d.add(path, "cannot be read: %v", err)
	}
	if _, err := b.WriteTo(y); err != nil {
		d.add(path, "cannot be read: %v", err)
	}
	if !bytes.Equal(x.Sum(nil), y.Sum(nil)) {
		d.add(path, "data differs")
	}
}
