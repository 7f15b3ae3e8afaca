package onnx

import (
	"bytes"
	"os"
	"runtime/metrics"
	"testing"

	"google.golang.org/protobuf/proto"

	"graft/graph"
)

// FuzzDecode reads arbitrary bytes, in memory proportional to their number. Whatever decodes
// can be encoded, and decodes to the same model again.
func FuzzDecode(f *testing.F) {
	whole, err := proto.Marshal(everything())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte{})
	f.Add([]byte{0x72, 3, 0x1a, 1, 'a', 0x42, 3, 0x1a, 1, 'a', 0x3a, 0}) // metadata and opset without key, with an unknown field
	for _, name := range []string{"linear/fp32", "linear/default", "nbits/b4_asym", "bert/qdq_matmul"} {
		if b, err := os.ReadFile("../../../shared/fixtures/quant/" + name + ".onnx"); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := allocated()
		m, err := DecodeBytes(b)
		if n := allocated() - before; n > 16<<20+1000*uint64(len(b)) {
			t.Errorf("%d bytes of input: %d bytes allocated", len(b), n)
		}
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

// allocated is the number of bytes that were ever allocated.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
