package ort

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// SelfTest runs a model of one node on the provider and checks its result. It
// loads the library that the provider needs.
func (p Provider) SelfTest() error {
	s, err := OpenBytes(addModel(), nil, Options{Provider: p.Name})
	if err != nil {
		return err
	}
	defer s.Close()
	x := Array{Type: Float, Shape: []int64{2, 2}, Data: []float32{1, 2, 3, -4}}
	y, err := s.RunArrays(context.Background(), map[string]Array{"x": x})
	if err != nil {
		return err
	}
	got, want := y["y"].Data.([]float32), []float32{2, 4, 6, -8}
	if !slices.Equal(got, want) {
		return fmt.Errorf("provider %s: x + x of %v is %v", p.Name, x.Data, got)
	}
	return nil
}

// addModel is the smallest useful ONNX file: y = x + x on float [2, 2], IR
// version 8, opset 17, written field by field after onnx.proto.
func addModel() []byte {
	str := func(b []byte, num protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
	}
	integer := func(b []byte, num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
	}
	message := func(b []byte, num protowire.Number, m []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), m)
	}
	dimension := integer(nil, 1, 2)                                           // dim_value: 2
	shape := message(message(nil, 1, dimension), 1, dimension)                // TensorShapeProto
	typ := message(nil, 1, message(integer(nil, 1, uint64(Float)), 2, shape)) // TypeProto.tensor_type
	value := func(name string) []byte { return message(str(nil, 1, name), 2, typ) }

	node := str(str(str(str(nil, 1, "x"), 1, "x"), 2, "y"), 4, "Add") // input, input, output, op_type
	graph := str(message(nil, 1, node), 2, "add")
	graph = message(message(graph, 11, value("x")), 12, value("y"))
	model := integer(nil, 1, 8)                   // ir_version
	model = message(model, 7, graph)              // graph
	return message(model, 8, integer(nil, 2, 17)) // opset_import
}
