package gguf_test

import (
	"bytes"
	"testing"

	"graft/convert/gguf"
	"graft/convert/safetensors"
)

// Dequantized values are those of llama.cpp's own package, to the bit.
func TestBlocksGolden(t *testing.T) {
	f, err := gguf.Open("../../testdata/gguf/blocks.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want, err := safetensors.Open("../../testdata/gguf/blocks.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	if len(f.Tensors) != 6 {
		t.Errorf("%d tensors, want 6", len(f.Tensors))
	}
	for _, x := range f.Tensors {
		r, err := x.Open()
		if err != nil {
			t.Fatal(err)
		}
		values, err := safetensors.Cast(r, x.DType, safetensors.F32)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(values); err != nil {
			t.Fatal(err)
		}
		expected, err := want.Tensor(x.Name).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), expected) {
			t.Errorf("%s: values differ", x.Name)
		}
	}
}
