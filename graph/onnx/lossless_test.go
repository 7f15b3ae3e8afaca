package onnx

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// everything is a model with a field of every kind in use and, below it, messages of every type.
func everything() *pb.ModelProto {
	m := &pb.ModelProto{}
	populate(m.ProtoReflect(), 0)
	m.Graph = wholeGraph(2)
	m.Functions = []*pb.FunctionProto{wholeFunction()}
	return m
}

// populate sets every field of m but graphs, functions, tensors' elements and attributes.
func populate(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Message() != nil && (depth > 3 || f.Message().Name() == "GraphProto" || f.Message().Name() == "FunctionProto" ||
			f.Message().Name() == "AttributeProto" || f.Message().Name() == "TensorProto" || f.Message().Name() == "NodeProto"):
		case f.ContainingOneof() != nil && m.WhichOneof(f.ContainingOneof()) != nil:
		case f.IsList() && f.Message() != nil:
			for range 2 {
				populate(m.Mutable(f).List().AppendMutable().Message(), depth+1)
			}
		case f.Message() != nil:
			populate(m.Mutable(f).Message(), depth+1)
		case f.IsList():
			m.Mutable(f).List().Append(scalar(f))
		default:
			m.Set(f, scalar(f))
		}
	}
	m.SetUnknown(unknown(string(m.Descriptor().Name())))
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("a " + string(f.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(f.Name()))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(f.Number()))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(uint64(f.Number()))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(f.Number()))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(f.Number()))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(0)
	}
	return protoreflect.ValueOfInt64(int64(f.Number()))
}

// unknown is a field of a version of ONNX that does not exist yet.
func unknown(s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 777, protowire.BytesType), s)
}

func wholeTensor(name string) *pb.TensorProto {
	t := &pb.TensorProto{
		Name: proto.String(name), DataType: proto.Int32(int32(graph.Int16)), Dims: []int64{2, 1}, RawData: []byte{1, 2, 3, 4},
		DocString: proto.String("doc"), Segment: &pb.TensorProto_Segment{Begin: proto.Int64(0), End: proto.Int64(2)},
		MetadataProps: []*pb.StringStringEntryProto{{Key: proto.String("k"), Value: proto.String("v")}},
	}
	t.ProtoReflect().SetUnknown(unknown("tensor " + name))
	return t
}

// attributes has one of each kind.
func attributes(depth int) []*pb.AttributeProto {
	sparse := &pb.SparseTensorProto{Values: wholeTensor("v"), Indices: wholeTensor("i"), Dims: []int64{9}}
	typ := &pb.TypeProto{Value: &pb.TypeProto_SequenceType{SequenceType: &pb.TypeProto_Sequence{}}}
	list := []*pb.AttributeProto{
		{F: proto.Float32(0)}, {I: proto.Int64(0)}, {S: []byte{}}, {T: wholeTensor("t")}, {G: &pb.GraphProto{}},
		{Floats: []float32{1, 2}}, {Ints: []int64{-1, 3}}, {Strings: [][]byte{[]byte("\xff"), {}}},
		{Tensors: []*pb.TensorProto{wholeTensor("a"), wholeTensor("b")}}, {Graphs: []*pb.GraphProto{{}}},
		{SparseTensor: sparse}, {SparseTensors: []*pb.SparseTensorProto{sparse, sparse}},
		{Tp: typ}, {TypeProtos: []*pb.TypeProto{typ}},
	}
	for i, a := range list {
		a.Type = pb.AttributeProto_AttributeType(i + 1).Enum()
		a.Name = proto.String("attribute")
		a.DocString = proto.String("")
		a.ProtoReflect().SetUnknown(unknown("attribute"))
	}
	if depth > 0 {
		list[4].G = wholeGraph(depth - 1)
		list[9].Graphs = []*pb.GraphProto{wholeGraph(0), {}}
	}
	return append(list, &pb.AttributeProto{Name: proto.String("ref"), Type: pb.AttributeProto_FLOAT.Enum(), RefAttrName: proto.String("outer")})
}

func wholeNode(depth int) *pb.NodeProto {
	n := &pb.NodeProto{}
	populate(n.ProtoReflect(), 0)
	n.Input, n.Output = []string{"x", "", "undefined", "w"}, []string{"y", "", "x"}
	n.Attribute = attributes(depth)
	return n
}

func wholeGraph(depth int) *pb.GraphProto {
	g := &pb.GraphProto{}
	populate(g.ProtoReflect(), 0)
	for i, name := range []string{"x", "w"} {
		g.Input[i].Name = proto.String(name)
	}
	for i, name := range []string{"y", "z"} {
		g.Output[i].Name = proto.String(name)
	}
	for i, name := range []string{"m", "stray"} {
		g.ValueInfo[i].Name = proto.String(name)
	}
	g.Initializer = []*pb.TensorProto{wholeTensor("w"), wholeTensor("w2"), wholeTensor("w2")}
	g.Node = []*pb.NodeProto{wholeNode(depth), wholeNode(0), {Output: []string{"m"}, OpType: proto.String("")}}
	g.SparseInitializer = []*pb.SparseTensorProto{{Values: wholeTensor("s"), Indices: wholeTensor("i"), Dims: []int64{9}}}
	return g
}

// Weights that are stored sparse are named, as what the model lacks.
func TestSparseWeights(t *testing.T) {
	file, err := proto.Marshal(&pb.ModelProto{IrVersion: proto.Int64(10), Graph: &pb.GraphProto{
		SparseInitializer: []*pb.SparseTensorProto{{Values: wholeTensor("sparse"), Indices: wholeTensor("places"), Dims: []int64{9}}},
		Initializer:       []*pb.TensorProto{wholeTensor("dense")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := SparseWeights(m.Graph); err != nil || !slices.Equal(names, []string{"sparse"}) {
		t.Errorf("names %q, %v", names, err)
	}
}

func wholeFunction() *pb.FunctionProto {
	f := &pb.FunctionProto{}
	populate(f.ProtoReflect(), 0)
	f.Input, f.Output = []string{"x", "w"}, []string{"y"}
	f.Attribute, f.AttributeProto = []string{"outer"}, attributes(0)
	f.Node = []*pb.NodeProto{wholeNode(1)}
	return f
}

// A model with every field of the schema, and an unknown field in every message, comes back as it was.
func TestNothingIsLost(t *testing.T) {
	want := everything()
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeBytes(wire)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	got := &pb.ModelProto{}
	if err := proto.Unmarshal(b.Bytes(), got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(want, got) {
		t.Errorf("%v", diffMessages("model", want.ProtoReflect(), got.ProtoReflect()))
	}
}

// diffMessages names the fields in which two messages differ.
func diffMessages(path string, a, b protoreflect.Message) []string {
	var out []string
	if !bytes.Equal(a.GetUnknown(), b.GetUnknown()) {
		out = append(out, path+": unknown fields")
	}
	fields := a.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		here := path + "." + string(f.Name())
		switch {
		case a.Has(f) != b.Has(f):
			out = append(out, here+": only one is there")
		case f.IsList() && f.Message() != nil:
			x, y := a.Get(f).List(), b.Get(f).List()
			if x.Len() != y.Len() {
				out = append(out, here+": number of items")
			}
			for j := range min(x.Len(), y.Len()) {
				out = append(out, diffMessages(here, x.Get(j).Message(), y.Get(j).Message())...)
			}
		case f.Message() != nil && a.Has(f):
			out = append(out, diffMessages(here, a.Get(f).Message(), b.Get(f).Message())...)
		case f.Message() == nil && !a.Get(f).Equal(b.Get(f)):
			out = append(out, here)
		}
	}
	return out
}

// A change to the IR wins over what Extra remembers of a field.
func TestChangesWinOverExtra(t *testing.T) {
	g := &pb.GraphProto{
		Node:  []*pb.NodeProto{{OpType: proto.String("Relu"), DocString: proto.String(""), Input: []string{"x"}, Output: []string{"y"}}},
		Input: []*pb.ValueInfoProto{{Name: proto.String("x"), Type: denoted()}},
	}
	wire, err := proto.Marshal(&pb.ModelProto{Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeBytes(wire)
	if err != nil {
		t.Fatal(err)
	}
	m.Graph.Nodes[0].Doc = "changed"
	m.Graph.Inputs[0].Type.Shape = graph.Shape{graph.Symbol("batch")}
	var b bytes.Buffer
	if err := Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	got := &pb.ModelProto{}
	if err := proto.Unmarshal(b.Bytes(), got); err != nil {
		t.Fatal(err)
	}
	if doc := got.Graph.Node[0].GetDocString(); doc != "changed" {
		t.Errorf("doc %q", doc)
	}
	typ := got.Graph.Input[0].Type
	if dim := typ.GetTensorType().GetShape().GetDim(); len(dim) != 1 || dim[0].GetDimParam() != "batch" {
		t.Errorf("dims %v, want batch", dim)
	}
	if typ.GetDenotation() != "IMAGE" {
		t.Errorf("denotation %q is lost", typ.GetDenotation())
	}
}

func denoted() *pb.TypeProto {
	typ := tensorType(graph.TensorType(graph.Float, graph.Size(3)))
	typ.Denotation = proto.String("IMAGE")
	return typ
}
