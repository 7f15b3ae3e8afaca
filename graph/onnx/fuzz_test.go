package onnx

import (
	"bytes"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"graft/graph"
)

// FuzzDecode reads arbitrary bytes. Whatever decodes can be encoded, and decodes to the same
// model again.
func FuzzDecode(f *testing.F) {
	whole, err := proto.Marshal(everything())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte{})
	for _, name := range []string{"linear/fp32", "linear/default", "nbits/b4_asym", "bert/qdq_matmul"} {
		if b, err := os.ReadFile("../../../shared/fixtures/quant/" + name + ".onnx"); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeBytes(b)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Encode(&out, m); err != nil {
			t.Fatal(err)
		}
		again, err := DecodeBytes(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range graph.Diff(m, again) {
			t.Error(line)
		}
	})
}
