package onnx

import (
	"fmt"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// encodeModel encodes all of a model but its graph.
func encodeModel(m *graph.Model) (*pb.ModelProto, error) {
	msg := &pb.ModelProto{}
	if err := restore(m.Extra, msg); err != nil {
		return nil, err
	}
	set(&msg.IrVersion, m.IRVersion)
	setOpsets(&msg.OpsetImport, m.Opsets)
	set(&msg.ProducerName, m.ProducerName)
	set(&msg.ProducerVersion, m.ProducerVersion)
	set(&msg.Domain, m.Domain)
	set(&msg.ModelVersion, m.Version)
	set(&msg.DocString, m.Doc)
	setProperties(&msg.MetadataProps, m.Metadata)
	for _, f := range m.Functions {
		fn, err := encodeFunction(f)
		if err != nil {
			return nil, fmt.Errorf("function %q: %w", f.Name, err)
		}
		msg.Functions = append(msg.Functions, fn)
	}
	return msg, nil
}

// encodeSubgraph encodes a graph with its initializers.
func encodeSubgraph(g *graph.Graph) (*pb.GraphProto, error) {
	msg, err := encodeGraph(g)
	if err != nil {
		return nil, err
	}
	for _, v := range g.Initializers {
		t, err := initializer(v)
		if err != nil {
			return nil, err
		}
		m, err := encodeTensor(t)
		if err != nil {
			return nil, err
		}
		msg.Initializer = append(msg.Initializer, m)
	}
	return msg, nil
}

// initializer is the tensor behind v under v's name.
func initializer(v *graph.Value) (*graph.Tensor, error) {
	if v == nil || v.Init == nil {
		return nil, fmt.Errorf("initializer %q has no tensor", nameOf(v))
	}
	if v.Init.Name == v.Name {
		return v.Init, nil
	}
	t := *v.Init
	t.Name = v.Name
	return &t, nil
}

// encodeGraph encodes all of a graph but its initializers.
func encodeGraph(g *graph.Graph) (*pb.GraphProto, error) {
	msg := &pb.GraphProto{}
	if err := restore(g.Extra, msg); err != nil {
		return nil, err
	}
	set(&msg.Name, g.Name)
	set(&msg.DocString, g.Doc)
	setProperties(&msg.MetadataProps, g.Metadata)
	var err error
	if msg.Input, err = encodeValues(g.Inputs); err != nil {
		return nil, err
	}
	if msg.Output, err = encodeValues(g.Outputs); err != nil {
		return nil, err
	}
	if msg.ValueInfo, err = encodeValues(g.ValueInfo); err != nil {
		return nil, err
	}
	msg.Node, err = encodeNodes(g.Nodes)
	return msg, err
}

func encodeValues(list []*graph.Value) ([]*pb.ValueInfoProto, error) {
	var out []*pb.ValueInfoProto
	for _, v := range list {
		msg := &pb.ValueInfoProto{}
		if v != nil {
			if err := encodeValue(msg, v); err != nil {
				return nil, fmt.Errorf("value %q: %w", v.Name, err)
			}
		}
		out = append(out, msg)
	}
	return out, nil
}

func encodeValue(msg *pb.ValueInfoProto, v *graph.Value) (err error) {
	if err := restore(v.Extra, msg); err != nil {
		return err
	}
	set(&msg.Name, v.Name)
	set(&msg.DocString, v.Doc)
	setProperties(&msg.MetadataProps, v.Metadata)
	msg.Type, err = encodeType(v.Type)
	return err
}

func encodeNodes(nodes []*graph.Node) ([]*pb.NodeProto, error) {
	var out []*pb.NodeProto
	for i, n := range nodes {
		msg, err := encodeNode(n)
		if err != nil {
			return nil, fmt.Errorf("node[%d] %q (%s): %w", i, n.Name, n.Op, err)
		}
		out = append(out, msg)
	}
	return out, nil
}

func encodeNode(n *graph.Node) (*pb.NodeProto, error) {
	msg := &pb.NodeProto{}
	if err := restore(n.Extra, msg); err != nil {
		return nil, err
	}
	set(&msg.Name, n.Name)
	set(&msg.OpType, n.Op)
	set(&msg.Domain, n.Domain)
	set(&msg.Overload, n.Overload)
	set(&msg.DocString, n.Doc)
	setProperties(&msg.MetadataProps, n.Metadata)
	msg.Input, msg.Output = namesOf(n.Inputs), namesOf(n.Outputs)
	for i := range n.Attrs {
		a, err := encodeAttr(&n.Attrs[i])
		if err != nil {
			return nil, err
		}
		msg.Attribute = append(msg.Attribute, a)
	}
	return msg, nil
}

func encodeFunction(f *graph.Function) (*pb.FunctionProto, error) {
	msg := &pb.FunctionProto{}
	if err := restore(f.Extra, msg); err != nil {
		return nil, err
	}
	if len(f.Body.Initializers) > 0 {
		return nil, fmt.Errorf("its body has initializers (%q first), which a function cannot have", nameOf(f.Body.Initializers[0]))
	}
	set(&msg.Name, f.Name)
	set(&msg.Domain, f.Domain)
	set(&msg.Overload, f.Overload)
	set(&msg.DocString, f.Doc)
	setProperties(&msg.MetadataProps, f.Metadata)
	setOpsets(&msg.OpsetImport, f.Opsets)
	msg.Attribute = f.Attributes
	for i := range f.Defaults {
		a, err := encodeAttr(&f.Defaults[i])
		if err != nil {
			return nil, err
		}
		msg.AttributeProto = append(msg.AttributeProto, a)
	}
	msg.Input, msg.Output = namesOf(f.Body.Inputs), namesOf(f.Body.Outputs)
	var err error
	if msg.ValueInfo, err = encodeValues(f.Body.ValueInfo); err != nil {
		return nil, err
	}
	msg.Node, err = encodeNodes(f.Body.Nodes)
	return msg, err
}

// nameOf is v's name, "" for an operand that is left out.
func nameOf(v *graph.Value) string {
	if v == nil {
		return ""
	}
	return v.Name
}

func namesOf(list []*graph.Value) []string {
	var names []string
	for _, v := range list {
		names = append(names, nameOf(v))
	}
	return names
}
