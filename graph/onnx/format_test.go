package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"graft/graph/onnx/internal/pb"
)

// A file that is cut off anywhere is an error which says where, and in which field.
func TestTruncated(t *testing.T) {
	whole, err := os.ReadFile("../../testdata/onnx/bert.onnx")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.onnx")
	inWeights := 0
	for i := range 50 {
		n := len(whole) * i / 50
		if err := os.WriteFile(path, whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		var at *FormatError
		if !errors.As(err, &at) {
			t.Errorf("%d of %d bytes: error %v, want a FormatError", n, len(whole), err)
			continue
		}
		if at.Offset > int64(n) {
			t.Errorf("%d bytes: error at byte %d", n, at.Offset)
		}
		if !strings.HasPrefix(err.Error(), `read model "`+path+`": `) || n > 100 && !strings.Contains(err.Error(), "graph.") {
			t.Errorf("%d bytes: %v", n, err)
		}
		if strings.Contains(err.Error(), `graph.initializer[`) {
			inWeights++
		}
	}
	if inWeights < 10 {
		t.Errorf("%d of 50 errors are in initializers, want most", inWeights)
	}
}

// The exact words of what is wrong with a file.
func TestFormatErrors(t *testing.T) {
	message := func(num protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), content)
	}
	nested := &pb.GraphProto{}
	for range 40 {
		nested = &pb.GraphProto{Node: []*pb.NodeProto{{Attribute: []*pb.AttributeProto{{Name: proto.String("body"), G: nested}}}}}
	}
	nestedWire, err := proto.Marshal(&pb.ModelProto{Graph: nested})
	if err != nil {
		t.Fatal(err)
	}
	tensor := append(message(8, []byte("w")), 0x4a, 0x7f, 1, 2)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":       {nil, "the file is empty at byte 0"},
		"text":        {[]byte("hello"), "field_13: group encoding, which ONNX does not use at byte 3"},
		"no graph":    {[]byte{8, 7}, "no graph in it: is this an ONNX model?"},
		"cut varint":  {[]byte{8, 0x80}, "ir_version: number is cut off or too long at byte 1"},
		"long varint": {[]byte{8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, "ir_version: number is cut off or too long at byte 1"},
		"tag":         {[]byte{7, 0}, "no field can have tag 0x7 at byte 0"},
		"raw data":    {message(7, message(5, tensor)), `graph.initializer[0] "w".raw_data: length 127, but 2 bytes are left at byte 8`},
		"huge length": {append(message(7, nil), 0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), "opset_import[0]: length 18446744073709551615, but 0 bytes are left at byte 3"},
		"packed":      {message(7, message(5, message(4, []byte{1, 2, 3}))), "graph.initializer[0].float_data: 3 bytes for elements of 4 at byte 6"},
		"nesting":     {nestedWire, "messages nest deeper than 100 levels"},
		"elements":    {message(7, message(5, append(message(8, []byte("w")), 8, 2, 16, 1, 0x4a, 1, 0))), `graph: initializer[0] "w": 1 bytes of data for FLOAT[2], want 8`},
	} {
		_, err := DecodeBytes(c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}
