package onnx

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// The typed fields of TensorProto give the bytes that raw_data would hold, as onnx-ml.proto
// says: low byte first, sub-byte elements low bits first, complex numbers as pairs.
func TestTypedFields(t *testing.T) {
	for _, c := range []struct {
		elem graph.DType
		dims []int64
		msg  *pb.TensorProto
		want []byte
	}{
		{graph.Float, []int64{2}, &pb.TensorProto{FloatData: []float32{1, -2}}, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}},
		{graph.Complex64, []int64{1}, &pb.TensorProto{FloatData: []float32{1, -2}}, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}},
		{graph.Double, nil, &pb.TensorProto{DoubleData: []float64{1}}, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}},
		{graph.Complex128, []int64{1}, &pb.TensorProto{DoubleData: []float64{1, 0}}, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0}},
		{graph.Int64, []int64{1}, &pb.TensorProto{Int64Data: []int64{-2}}, []byte{0xfe, 255, 255, 255, 255, 255, 255, 255}},
		{graph.Uint64, []int64{1}, &pb.TensorProto{Uint64Data: []uint64{math.MaxUint64}}, []byte{255, 255, 255, 255, 255, 255, 255, 255}},
		{graph.Uint32, []int64{1}, &pb.TensorProto{Uint64Data: []uint64{0x01020304}}, []byte{4, 3, 2, 1}},
		{graph.Int32, []int64{1}, &pb.TensorProto{Int32Data: []int32{-2}}, []byte{0xfe, 255, 255, 255}},
		{graph.Int16, []int64{2}, &pb.TensorProto{Int32Data: []int32{-2, 258}}, []byte{0xfe, 255, 2, 1}},
		{graph.Uint16, []int64{1}, &pb.TensorProto{Int32Data: []int32{65534}}, []byte{0xfe, 255}},
		{graph.Int8, []int64{2}, &pb.TensorProto{Int32Data: []int32{-2, 3}}, []byte{0xfe, 3}},
		{graph.Uint8, []int64{1}, &pb.TensorProto{Int32Data: []int32{200}}, []byte{200}},
		{graph.Bool, []int64{2}, &pb.TensorProto{Int32Data: []int32{1, 0}}, []byte{1, 0}},
		{graph.Float16, []int64{1}, &pb.TensorProto{Int32Data: []int32{0x3c00}}, []byte{0, 0x3c}},
		{graph.BFloat16, []int64{1}, &pb.TensorProto{Int32Data: []int32{0x3f80}}, []byte{0x80, 0x3f}},
		{graph.Float8E4M3FN, []int64{1}, &pb.TensorProto{Int32Data: []int32{0x7e}}, []byte{0x7e}},
		{graph.Float8E8M0, []int64{1}, &pb.TensorProto{Int32Data: []int32{0xff}}, []byte{0xff}},
		{graph.Int4, []int64{3}, &pb.TensorProto{Int32Data: []int32{0xf1, 2}}, []byte{0xf1, 2}},
		{graph.Uint4, []int64{2}, &pb.TensorProto{Int32Data: []int32{0x21}}, []byte{0x21}},
		{graph.Float4E2M1, []int64{1}, &pb.TensorProto{Int32Data: []int32{7}}, []byte{7}},
		{graph.Uint2, []int64{5}, &pb.TensorProto{Int32Data: []int32{0xe4, 1}}, []byte{0xe4, 1}},
		{graph.Int2, []int64{4}, &pb.TensorProto{Int32Data: []int32{0xe4}}, []byte{0xe4}},
		{graph.Float, []int64{0, 3}, &pb.TensorProto{}, nil},
	} {
		c.msg.DataType, c.msg.Dims = proto.Int32(int32(c.elem)), c.dims
		got, err := (&decoder{}).tensor(c.msg, region{})
		if err != nil {
			t.Errorf("%v: %v", c.elem, err)
			continue
		}
		b, err := got.Bytes()
		if err != nil || !bytes.Equal(b, c.want) {
			t.Errorf("%v%v: % x, %v, want % x", c.elem, c.dims, b, err, c.want)
		}
		if got.Extra != nil {
			t.Errorf("%v: extra % x", c.elem, got.Extra)
		}
	}
}

func TestBadTensors(t *testing.T) {
	for _, c := range []struct {
		elem graph.DType
		dims []int64
		msg  *pb.TensorProto
		want string
	}{
		{graph.Float, []int64{-1}, &pb.TensorProto{}, "dims [-1]"},
		{graph.Float, []int64{1 << 40, 1 << 40}, &pb.TensorProto{}, "dims"},
		{graph.Float, []int64{1 << 40}, &pb.TensorProto{RawData: []byte{1}}, "1 bytes of data for FLOAT[1099511627776], want 4398046511104"},
		{graph.Float, []int64{1}, &pb.TensorProto{}, "0 bytes of data"},
		{graph.Float, []int64{1}, &pb.TensorProto{Int32Data: []int32{1}}, "elements of type FLOAT in a field for"},
		{graph.Float, []int64{1}, &pb.TensorProto{FloatData: []float32{1}, RawData: []byte{1, 2, 3, 4}}, "more than one field"},
		{graph.String, []int64{2}, &pb.TensorProto{StringData: [][]byte{nil}}, "1 strings for STRING[2], want 2"},
		{graph.Int4, []int64{3}, &pb.TensorProto{RawData: []byte{1}}, "want 2"},
		{graph.Float, []int64{1}, &pb.TensorProto{DataLocation: pb.TensorProto_EXTERNAL.Enum()}, "not read from a folder"},
	} {
		c.msg.DataType, c.msg.Dims = proto.Int32(int32(c.elem)), c.dims
		if _, err := (&decoder{}).tensor(c.msg, region{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v%v: error %v, want %q", c.elem, c.dims, err, c.want)
		}
	}
}

// A tensor of a type that this package does not know keeps its elements, whatever field they are in.
func TestUnknownElementType(t *testing.T) {
	for name, msg := range map[string]*pb.TensorProto{
		"raw": {RawData: []byte{1, 2, 3}}, "int32": {Int32Data: []int32{1, -1}}, "none": {},
	} {
		msg.DataType, msg.Dims = proto.Int32(99), []int64{4}
		want := proto.Clone(msg)
		got, err := (&decoder{}).tensor(msg, region{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := encodeTensor(got)
		if err != nil || !proto.Equal(want, back) {
			t.Errorf("%s: %v, %v, want %v", name, back, err, want)
		}
	}
}
