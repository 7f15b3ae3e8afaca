package onnx

import (
	"fmt"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// attr decodes an attribute. Kinds that the IR does not hold, and values in fields that do not
// belong to the attribute's kind, stay in Extra.
func (d *decoder) attr(msg *pb.AttributeProto, s *scope) (graph.Attr, error) {
	a := graph.Attr{
		Name: take(&msg.Name), Ref: take(&msg.RefAttrName), Doc: take(&msg.DocString),
		Kind: graph.AttrKind(take(&msg.Type)),
	}
	if a.Kind == graph.AttrUndefined && a.Ref == "" {
		if a.Kind = kindOf(msg); a.Kind != graph.AttrUndefined {
			msg.Type = nil
		}
	}
	var err error
	switch a.Kind {
	case graph.AttrFloat:
		a.Float, msg.F = msg.GetF(), nil
	case graph.AttrInt:
		a.Int, msg.I = msg.GetI(), nil
	case graph.AttrString:
		a.Str, msg.S = string(msg.S), nil
	case graph.AttrFloats:
		a.Floats, msg.Floats = msg.Floats, nil
	case graph.AttrInts:
		a.Ints, msg.Ints = msg.Ints, nil
	case graph.AttrStrings:
		a.Strs, msg.Strings = stringsOf(msg.Strings), nil
	case graph.AttrTensor:
		if msg.T != nil {
			a.Tensor, err = d.tensor(msg.T, region{})
			msg.T = nil
		}
	case graph.AttrTensors:
		a.Tensors, err = d.tensors(msg.Tensors)
		msg.Tensors = nil
	case graph.AttrGraph:
		if msg.G != nil {
			a.Graph, err = d.graph(msg.G, nil, s)
			msg.G = nil
		}
	case graph.AttrGraphs:
		a.Graphs, err = d.graphs(msg.Graphs, s)
		msg.Graphs = nil
	}
	if err != nil {
		return a, err
	}
	a.Extra = remainder(msg)
	return a, nil
}

// kindOf finds the kind of an attribute that does not state it, as files of IR version 1 do not.
func kindOf(msg *pb.AttributeProto) graph.AttrKind {
	switch {
	case msg.F != nil:
		return graph.AttrFloat
	case msg.I != nil:
		return graph.AttrInt
	case msg.S != nil:
		return graph.AttrString
	case msg.T != nil:
		return graph.AttrTensor
	case msg.G != nil:
		return graph.AttrGraph
	case len(msg.Floats) > 0:
		return graph.AttrFloats
	case len(msg.Ints) > 0:
		return graph.AttrInts
	case len(msg.Strings) > 0:
		return graph.AttrStrings
	case len(msg.Tensors) > 0:
		return graph.AttrTensors
	case len(msg.Graphs) > 0:
		return graph.AttrGraphs
	}
	return graph.AttrUndefined
}

func (d *decoder) tensors(list []*pb.TensorProto) ([]*graph.Tensor, error) {
	var out []*graph.Tensor
	for i, msg := range list {
		t, err := d.tensor(msg, region{})
		if err != nil {
			return nil, fmt.Errorf("tensors[%d]: %w", i, err)
		}
		out = append(out, t)
	}
	return out, nil
}

func (d *decoder) graphs(list []*pb.GraphProto, s *scope) ([]*graph.Graph, error) {
	var out []*graph.Graph
	for i, msg := range list {
		g, err := d.graph(msg, nil, s)
		if err != nil {
			return nil, fmt.Errorf("graphs[%d]: %w", i, err)
		}
		out = append(out, g)
	}
	return out, nil
}

// encodeAttr is the inverse of decoder.attr. A reference to a function's attribute holds no value.
func encodeAttr(a *graph.Attr) (*pb.AttributeProto, error) {
	msg := &pb.AttributeProto{}
	if err := restore(a.Extra, msg); err != nil {
		return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
	}
	set(&msg.Name, a.Name)
	set(&msg.RefAttrName, a.Ref)
	set(&msg.DocString, a.Doc)
	set(&msg.Type, pb.AttributeProto_AttributeType(a.Kind))
	if err := encodeAttrValue(msg, a); err != nil {
		return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
	}
	return msg, nil
}

func encodeAttrValue(msg *pb.AttributeProto, a *graph.Attr) (err error) {
	scalar := a.Ref == ""
	switch a.Kind {
	case graph.AttrFloat:
		if scalar || a.Float != 0 {
			msg.F = &a.Float
		}
	case graph.AttrInt:
		if scalar || a.Int != 0 {
			msg.I = &a.Int
		}
	case graph.AttrString:
		if scalar || a.Str != "" {
			msg.S = []byte(a.Str)
		}
	case graph.AttrFloats:
		msg.Floats = a.Floats
	case graph.AttrInts:
		msg.Ints = a.Ints
	case graph.AttrStrings:
		msg.Strings = bytesOf(a.Strs)
	case graph.AttrTensor:
		if a.Tensor != nil {
			msg.T, err = encodeTensor(a.Tensor)
		}
	case graph.AttrTensors:
		for _, t := range a.Tensors {
			m, err := encodeTensor(t)
			if err != nil {
				return err
			}
			msg.Tensors = append(msg.Tensors, m)
		}
	case graph.AttrGraph:
		if a.Graph != nil {
			msg.G, err = encodeSubgraph(a.Graph)
		}
	case graph.AttrGraphs:
		for _, g := range a.Graphs {
			m, err := encodeSubgraph(g)
			if err != nil {
				return err
			}
			msg.Graphs = append(msg.Graphs, m)
		}
	}
	return err
}

func stringsOf(list [][]byte) []string {
	var out []string
	for _, b := range list {
		out = append(out, string(b))
	}
	return out
}

func bytesOf(list []string) [][]byte {
	var out [][]byte
	for _, s := range list {
		out = append(out, []byte(s))
	}
	return out
}
