package onnx

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// decodeType translates a value's type. A type that says more than its elements and shape
// (denotations, dimensions below zero) keeps its wire form, as do types other than tensors.
func decodeType(msg *pb.TypeProto) *graph.Type {
	if msg == nil {
		return nil
	}
	t := tensorOf(msg)
	if !proto.Equal(msg, tensorType(t)) {
		t.Wire = remainder(msg)
		if t.Wire == nil { // a type that says nothing is no type
			return nil
		}
	}
	return t
}

// tensorOf is what the IR models of a type.
func tensorOf(msg *pb.TypeProto) *graph.Type {
	t := &graph.Type{}
	if tensor := msg.GetTensorType(); tensor != nil {
		t.Elem, t.Shape = graph.DType(tensor.GetElemType()), decodeShape(tensor.Shape)
	}
	return t
}

func decodeShape(msg *pb.TensorShapeProto) graph.Shape {
	if msg == nil {
		return nil
	}
	shape := make(graph.Shape, len(msg.Dim))
	for i, d := range msg.Dim {
		shape[i] = graph.AnyDim
		switch v := d.Value.(type) {
		case *pb.TensorShapeProto_Dimension_DimParam:
			shape[i].Symbol = v.DimParam
		case *pb.TensorShapeProto_Dimension_DimValue:
			shape[i].Size = max(v.DimValue, -1)
		}
	}
	return shape
}

// encodeType is the inverse of decodeType. A wire form is written as it was where it still
// agrees with the type, else with the new elements and shape in it.
func encodeType(t *graph.Type) (*pb.TypeProto, error) {
	if t == nil {
		return nil, nil
	}
	if t.Wire == nil {
		return tensorType(t), nil
	}
	msg := &pb.TypeProto{}
	if err := restore(t.Wire, msg); err != nil {
		return nil, err
	}
	if old := tensorOf(msg); old.Elem == t.Elem && slices.Equal(old.Shape, t.Shape) && (old.Shape == nil) == (t.Shape == nil) {
		return msg, nil
	}
	msg.Value = tensorType(t).Value
	return msg, nil
}

// tensorType is the plain type of a tensor.
func tensorType(t *graph.Type) *pb.TypeProto {
	tensor := &pb.TypeProto_Tensor{}
	set(&tensor.ElemType, int32(t.Elem))
	if t.Shape != nil {
		tensor.Shape = &pb.TensorShapeProto{}
	}
	for _, d := range t.Shape {
		dim := &pb.TensorShapeProto_Dimension{}
		switch {
		case d.Known():
			dim.Value = &pb.TensorShapeProto_Dimension_DimValue{DimValue: d.Size}
		case d.Symbol != "":
			dim.Value = &pb.TensorShapeProto_Dimension_DimParam{DimParam: d.Symbol}
		}
		tensor.Shape.Dim = append(tensor.Shape.Dim, dim)
	}
	return &pb.TypeProto{Value: &pb.TypeProto_TensorType{TensorType: tensor}}
}
