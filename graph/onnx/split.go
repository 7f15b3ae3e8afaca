package onnx

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"graft/graph/onnx/internal/pb"
)

// Field numbers of onnx-ml.proto that are read and written apart from the messages around them.
const (
	fieldModelGraph       protowire.Number = 7
	fieldGraphInitializer protowire.Number = 5
	fieldTensorRawData    protowire.Number = 9
)

const (
	// inlineMax is the size in bytes up to which raw_data is read into memory with the tensor.
	inlineMax = 64 << 10
	// maxDepth limits how deep messages nest: a subgraph takes three levels. ONNX Runtime, by
	// protobuf's default in C++, reads no deeper either.
	maxDepth = 100
)

var unmarshal = proto.UnmarshalOptions{RecursionLimit: maxDepth}

// region is a range of the file, in bytes.
type region struct{ offset, length int64 }

// parts is a model file taken apart: messages without the large data, and where that is.
type parts struct {
	model        *pb.ModelProto // without Graph
	graph        *pb.GraphProto // nil where the model has none; all its initializers are in place
	initializers []region       // raw_data of graph.Initializer[i] where it stays in the file, or zero
}

// split reads all of a model but the raw_data of large initializers.
func split(r io.ReaderAt, size int64) (*parts, error) {
	s := &splitter{wire: newWireReader(r, size)}
	model, err := s.fields(size, func(num protowire.Number, end int64) (bool, error) {
		if num != fieldModelGraph {
			return false, nil
		}
		s.hasGraph = true
		return true, s.graphFields(end)
	})
	if err != nil {
		return nil, err
	}
	p := &parts{model: &pb.ModelProto{}, initializers: s.regions}
	if err := unmarshal.Unmarshal(model, p.model); err != nil {
		return nil, err
	}
	if s.hasGraph {
		p.graph = &pb.GraphProto{}
		if err := unmarshal.Unmarshal(s.graph, p.graph); err != nil {
			return nil, err
		}
		p.graph.Initializer = s.initializers
	}
	return p, nil
}

type splitter struct {
	wire         *wireReader
	hasGraph     bool
	graph        []byte // fields of the graph but its initializers
	initializers []*pb.TensorProto
	regions      []region
}

// graphFields reads (one occurrence of) the model's graph, up to end.
func (s *splitter) graphFields(end int64) error {
	rest, err := s.fields(end, func(num protowire.Number, end int64) (bool, error) {
		if num != fieldGraphInitializer {
			return false, nil
		}
		return true, s.initializer(end)
	})
	s.graph = append(s.graph, rest...)
	return err
}

// initializer reads a TensorProto up to end, its raw_data only where it is small.
func (s *splitter) initializer(end int64) error {
	var data region
	rest, err := s.fields(end, func(num protowire.Number, end int64) (bool, error) {
		if length := end - s.wire.pos; num == fieldTensorRawData && length > inlineMax {
			data = region{s.wire.pos, length}
			return true, s.wire.skip(length)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	t := &pb.TensorProto{}
	if err := unmarshal.Unmarshal(rest, t); err != nil {
		return err
	}
	s.initializers = append(s.initializers, t)
	s.regions = append(s.regions, data)
	return nil
}

// fields reads the fields of one message up to end. take is offered each length-delimited
// field, with the offset of its end, and may consume it; the others are returned, in wire form.
func (s *splitter) fields(end int64, take func(num protowire.Number, end int64) (bool, error)) ([]byte, error) {
	var rest []byte
	groups := 0 // depth of unknown fields in the obsolete group encoding, kept as they are
	for s.wire.pos < end {
		tag, err := s.wire.uvarint(end)
		if err != nil {
			return nil, err
		}
		num, typ := protowire.DecodeTag(tag)
		if typ != protowire.BytesType {
			rest = protowire.AppendVarint(rest, tag)
		}
		switch typ {
		case protowire.VarintType:
			v, err := s.wire.uvarint(end)
			if err != nil {
				return nil, err
			}
			rest = protowire.AppendVarint(rest, v)
		case protowire.Fixed32Type:
			rest, err = s.wire.appendN(rest, 4, end)
		case protowire.Fixed64Type:
			rest, err = s.wire.appendN(rest, 8, end)
		case protowire.BytesType:
			rest, err = s.delimited(rest, tag, end, groups == 0, take)
		case protowire.StartGroupType:
			groups++
		case protowire.EndGroupType:
			groups--
		default:
			err = fmt.Errorf("field %d: wire type %d", num, typ)
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// delimited reads a length-delimited field after its tag: by take where offered and wanted, else into rest.
func (s *splitter) delimited(rest []byte, tag uint64, end int64, offer bool, take func(protowire.Number, int64) (bool, error)) ([]byte, error) {
	length, err := s.wire.uvarint(end)
	if err != nil {
		return nil, err
	}
	if length > uint64(end-s.wire.pos) {
		return nil, errPastEnd
	}
	num, _ := protowire.DecodeTag(tag)
	if offer {
		if taken, err := take(num, s.wire.pos+int64(length)); taken || err != nil {
			return rest, err
		}
	}
	rest = protowire.AppendVarint(rest, tag)
	rest = protowire.AppendVarint(rest, length)
	return s.wire.appendN(rest, int64(length), end)
}

var errPastEnd = errors.New("a field runs past the end of its message")

// wireReader reads protobuf's wire format from a file, forward, without reading what is skipped.
type wireReader struct {
	at   io.ReaderAt
	size int64
	pos  int64 // offset of the next byte
	buf  *bufio.Reader
}

func newWireReader(at io.ReaderAt, size int64) *wireReader {
	return &wireReader{at: at, size: size, buf: bufio.NewReaderSize(io.NewSectionReader(at, 0, size), 64<<10)}
}

// ReadByte makes wireReader an io.ByteReader.
func (r *wireReader) ReadByte() (byte, error) {
	b, err := r.buf.ReadByte()
	if err == nil {
		r.pos++
	}
	return b, err
}

// uvarint reads a varint that ends at or before end.
func (r *wireReader) uvarint(end int64) (uint64, error) {
	v, err := binary.ReadUvarint(r)
	if err == nil && r.pos > end {
		err = errPastEnd
	}
	return v, err
}

// appendN appends the next n bytes, which end at or before end, to b.
func (r *wireReader) appendN(b []byte, n, end int64) ([]byte, error) {
	if n > end-r.pos {
		return nil, errPastEnd
	}
	start := len(b)
	b = append(b, make([]byte, n)...)
	_, err := io.ReadFull(r.buf, b[start:])
	r.pos += n
	return b, err
}

// skip goes n bytes forward, which the caller has checked against the file's size.
func (r *wireReader) skip(n int64) error {
	r.pos += n
	if n <= int64(r.buf.Buffered()) {
		_, err := r.buf.Discard(int(n))
		return err
	}
	r.buf.Reset(io.NewSectionReader(r.at, r.pos, r.size-r.pos))
	return nil
}
