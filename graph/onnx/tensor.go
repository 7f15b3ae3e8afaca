package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// tensor decodes a constant. data says where its raw_data is where that is still in the file.
func (d *decoder) tensor(msg *pb.TensorProto, data region) (*graph.Tensor, error) {
	t := &graph.Tensor{
		Name: take(&msg.Name), DType: graph.DType(take(&msg.DataType)), Doc: take(&msg.DocString),
		Shape: append([]int64{}, msg.Dims...), Metadata: takeProperties(&msg.MetadataProps),
	}
	msg.Dims = nil
	if err := d.data(t, msg, data); err != nil {
		return nil, err
	}
	t.Extra = remainder(msg)
	return t, nil
}

// data finds the elements of t, wherever they are, and checks their number.
func (d *decoder) data(t *graph.Tensor, msg *pb.TensorProto, data region) error {
	if t.Len() < 0 {
		return fmt.Errorf("dims %v", t.Shape)
	}
	if t.DType == graph.String {
		return stringData(t, msg)
	}
	fields := typedFields(msg)
	external := msg.GetDataLocation() == pb.TensorProto_EXTERNAL
	if n := len(fields); external && n > 0 || n > 1 || n == 1 && data.length > 0 {
		return fmt.Errorf("elements in more than one field: %q", append(fields, "raw_data or external_data"))
	}
	switch {
	case external:
		file, err := d.files.data(msg.ExternalData, t.Size())
		if err != nil {
			return fmt.Errorf("external data: %w", err)
		}
		t.Data, msg.ExternalData, msg.DataLocation = file, nil, nil
	case data.length > 0:
		t.Data = &fileData{src: d.src, region: data}
	case len(fields) == 0 && t.DType.Bits() > 0:
		t.Data, msg.RawData = graph.Raw{}, nil // right for a tensor without elements, checked below
	case msg.RawData != nil:
		t.Data, msg.RawData = graph.Raw(msg.RawData), nil
	case len(fields) > 0 && t.DType.Bits() > 0:
		raw, err := typedData(t.DType, msg)
		if err != nil {
			return err
		}
		t.Data = graph.Raw(raw)
	}
	if want := t.Size(); t.DType.Bits() > 0 && t.Data.Size() != want {
		return fmt.Errorf("%d bytes of data for %v%v, want %d", t.Data.Size(), t.DType, t.Shape, want)
	}
	return nil
}

// typedFields names the fields of msg that hold elements.
func typedFields(msg *pb.TensorProto) []string {
	var names []string
	for _, f := range []struct {
		name string
		n    int
	}{
		{"raw_data", len(msg.RawData)}, {"float_data", len(msg.FloatData)}, {"int32_data", len(msg.Int32Data)},
		{"string_data", len(msg.StringData)}, {"int64_data", len(msg.Int64Data)},
		{"double_data", len(msg.DoubleData)}, {"uint64_data", len(msg.Uint64Data)},
	} {
		if f.n > 0 {
			names = append(names, f.name)
		}
	}
	return names
}

func stringData(t *graph.Tensor, msg *pb.TensorProto) error {
	if n := int64(len(msg.StringData)); n != t.Len() {
		return fmt.Errorf("%d strings for %v%v, want %d", n, t.DType, t.Shape, t.Len())
	}
	t.Strings, msg.StringData = stringsOf(msg.StringData), nil
	return nil
}

// typedData turns elements that are not raw_data into its form: little-endian, sub-byte types
// packed as they are in int32_data, a byte in each (TensorProto's comments say which type is in
// which field).
func typedData(elem graph.DType, msg *pb.TensorProto) ([]byte, error) {
	le := binary.LittleEndian
	var raw []byte
	var holds []graph.DType // types that the field may hold
	switch {
	case len(msg.FloatData) > 0:
		holds = []graph.DType{graph.Float, graph.Complex64}
		for _, x := range msg.FloatData {
			raw = le.AppendUint32(raw, math.Float32bits(x))
		}
		msg.FloatData = nil
	case len(msg.DoubleData) > 0:
		holds = []graph.DType{graph.Double, graph.Complex128}
		for _, x := range msg.DoubleData {
			raw = le.AppendUint64(raw, math.Float64bits(x))
		}
		msg.DoubleData = nil
	case len(msg.Int64Data) > 0:
		holds = []graph.DType{graph.Int64}
		for _, x := range msg.Int64Data {
			raw = le.AppendUint64(raw, uint64(x))
		}
		msg.Int64Data = nil
	case len(msg.Uint64Data) > 0:
		holds = []graph.DType{graph.Uint32, graph.Uint64}
		for _, x := range msg.Uint64Data {
			raw = appendInt(raw, x, elem.Bits())
		}
		msg.Uint64Data = nil
	case len(msg.Int32Data) > 0:
		holds = []graph.DType{graph.Int32, graph.Int16, graph.Int8, graph.Int4, graph.Int2, graph.Uint16,
			graph.Uint8, graph.Uint4, graph.Uint2, graph.Bool, graph.Float16, graph.BFloat16,
			graph.Float8E4M3FN, graph.Float8E4M3FNUZ, graph.Float8E5M2, graph.Float8E5M2FNUZ,
			graph.Float8E8M0, graph.Float4E2M1}
		for _, x := range msg.Int32Data {
			raw = appendInt(raw, uint64(x), elem.Bits())
		}
		msg.Int32Data = nil
	}
	if !slices.Contains(holds, elem) {
		return nil, fmt.Errorf("elements of type %v in a field for %v", elem, holds)
	}
	return raw, nil
}

// appendInt appends the low bits of x, at least a byte.
func appendInt(b []byte, x uint64, bits int) []byte {
	for n := 0; n < max(bits, 8); n += 8 {
		b = append(b, byte(x>>n))
	}
	return b
}

// encodeTensor is the inverse of decoder.tensor, with all elements in the message.
func encodeTensor(t *graph.Tensor) (*pb.TensorProto, error) {
	msg, err := tensorHeader(t)
	if err != nil {
		return nil, err
	}
	if t.Data != nil {
		if msg.RawData, err = t.Data.Bytes(); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if msg.RawData == nil {
			msg.RawData = []byte{}
		}
	}
	return msg, nil
}

// tensorHeader is a tensor without its bytes. It checks that t's data is as long as its type says.
func tensorHeader(t *graph.Tensor) (*pb.TensorProto, error) {
	if t == nil {
		return nil, fmt.Errorf("a tensor is nil")
	}
	msg := &pb.TensorProto{}
	if err := restore(t.Extra, msg); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	set(&msg.Name, t.Name)
	set(&msg.DataType, int32(t.DType))
	set(&msg.DocString, t.Doc)
	setProperties(&msg.MetadataProps, t.Metadata)
	msg.Dims = t.Shape
	switch size := t.Size(); {
	case t.DType == graph.String:
		if int64(len(t.Strings)) != t.Len() {
			return nil, fmt.Errorf("tensor %q: %d strings for shape %v", t.Name, len(t.Strings), t.Shape)
		}
		msg.StringData = bytesOf(t.Strings)
	case t.DType.Bits() == 0: // no type or a newer one
	case t.Data == nil && size != 0:
		return nil, fmt.Errorf("tensor %q: no data", t.Name)
	case t.Data != nil && t.Data.Size() != size:
		return nil, fmt.Errorf("tensor %q: %d bytes of data for %v%v, want %d", t.Name, t.Data.Size(), t.DType, t.Shape, size)
	}
	return msg, nil
}
