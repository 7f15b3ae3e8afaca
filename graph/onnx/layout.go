package onnx

import (
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

const (
	// maxModel is the size in bytes from which on protobuf's other implementations refuse a message.
	maxModel = math.MaxInt32
	// externalMin is the size from which on a tensor goes to the external file where there is one:
	// runtimes want the small ones, which shapes are computed from, in the model.
	externalMin = 1 << 10
)

// layout is a model ready to be written: everything but tensors' bytes is encoded and all sizes
// and offsets are known.
type layout struct {
	head     []byte // the model up to its graph's initializers
	tensors  []section
	size     int64 // of the model file
	dataSize int64 // of the external file; 0 where there is none
}

// section is an initializer: its encoded header, then its bytes, here or in the external file.
type section struct {
	name   string
	header []byte // TensorProto's tag, length and fields, up to the content of raw_data
	data   graph.Data
	offset int64 // of data in the external file; -1 where it follows the header
}

// newLayout plans the file. location is the external file's name, "" for none; data begins
// there at multiples of align.
func newLayout(m *graph.Model, location string, align int64) (*layout, error) {
	if m.Graph == nil {
		return nil, fmt.Errorf("the model has no graph")
	}
	model, err := encodeModel(m)
	if err != nil {
		return nil, err
	}
	g, err := encodeGraph(m.Graph)
	if err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	l := &layout{}
	var graphSize int64
	for i, v := range m.Graph.Initializers {
		size, err := l.add(v, location, align)
		if err != nil {
			return nil, fmt.Errorf("graph: initializer[%d]: %w", i, err)
		}
		graphSize += size
	}
	marshal := proto.MarshalOptions{Deterministic: true}
	if l.head, err = marshal.Marshal(model); err != nil {
		return nil, err
	}
	body, err := marshal.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	graphSize += int64(len(body))
	l.head = protowire.AppendTag(l.head, fieldModelGraph, protowire.BytesType)
	l.head = protowire.AppendVarint(l.head, uint64(graphSize))
	l.size = int64(len(l.head)) + graphSize
	l.head = append(l.head, body...)
	return l, nil
}

// add plans an initializer and returns what it takes in the graph's message.
func (l *layout) add(v *graph.Value, location string, align int64) (int64, error) {
	t, err := initializer(v)
	if err != nil {
		return 0, err
	}
	msg, err := tensorHeader(t)
	if err != nil {
		return 0, err
	}
	s := section{name: t.Name, data: t.Data, offset: -1}
	if t.Data != nil && location != "" && t.Data.Size() >= externalMin {
		s.offset = (l.dataSize + align - 1) / align * align
		l.dataSize = s.offset + t.Data.Size()
		msg.DataLocation = pb.TensorProto_EXTERNAL.Enum()
		msg.ExternalData = []*pb.StringStringEntryProto{
			{Key: proto.String("location"), Value: proto.String(location)},
			{Key: proto.String("offset"), Value: proto.String(strconv.FormatInt(s.offset, 10))},
			{Key: proto.String("length"), Value: proto.String(strconv.FormatInt(t.Data.Size(), 10))},
		}
	}
	fields, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		return 0, err
	}
	var inline int64
	if t.Data != nil && s.offset < 0 {
		inline = t.Data.Size()
		fields = protowire.AppendTag(fields, fieldTensorRawData, protowire.BytesType)
		fields = protowire.AppendVarint(fields, uint64(inline))
	}
	s.header = protowire.AppendTag(nil, fieldGraphInitializer, protowire.BytesType)
	s.header = protowire.AppendVarint(s.header, uint64(len(fields))+uint64(inline))
	s.header = append(s.header, fields...)
	l.tensors = append(l.tensors, s)
	return int64(len(s.header)) + inline, nil
}
