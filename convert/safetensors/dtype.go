package safetensors

import (
	"fmt"
	"math/bits"
)

// The element types of the format, by the names that its headers use.
const (
	BOOL   = "BOOL"
	U8     = "U8"
	I8     = "I8"
	F8E5M2 = "F8_E5M2"
	F8E4M3 = "F8_E4M3"
	I16    = "I16"
	U16    = "U16"
	F16    = "F16"
	BF16   = "BF16"
	I32    = "I32"
	U32    = "U32"
	F32    = "F32"
	F64    = "F64"
	I64    = "I64"
	U64    = "U64"
)

// dtypes lists every element type with its width, in the order of the
// reference implementation's Dtype enum (huggingface/safetensors, tensor.rs),
// which is the order of growing alignment that its writer sorts by.
var dtypes = []struct {
	name string
	bits int64
}{
	{BOOL, 8},
	{"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6},
	{U8, 8}, {I8, 8}, {F8E5M2, 8}, {F8E4M3, 8}, {"F8_E8M0", 8},
	{I16, 16}, {U16, 16}, {F16, 16}, {BF16, 16},
	{I32, 32}, {U32, 32}, {F32, 32},
	{"C64", 64}, {F64, 64}, {I64, 64}, {U64, 64},
}

// dtypeRank is the position of a type in dtypes, or -1 for an unknown name.
func dtypeRank(name string) int {
	for i, d := range dtypes {
		if d.name == name {
			return i
		}
	}
	return -1
}

// ByteSize is the number of bytes that a tensor of the given type and shape
// takes. It fails on an unknown type, a negative dimension, a product beyond
// 63 bits, and a sub-byte type that does not fill whole bytes.
func ByteSize(dtype string, shape []int64) (int64, error) {
	rank := dtypeRank(dtype)
	if rank < 0 {
		return 0, fmt.Errorf("unknown dtype %q", dtype)
	}
	size := uint64(dtypes[rank].bits)
	for _, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		hi, lo := bits.Mul64(size, uint64(dim))
		if hi != 0 || lo > 1<<63-1 {
			return 0, fmt.Errorf("shape %v of %s overflows 63 bits", shape, dtype)
		}
		size = lo
	}
	if size%8 != 0 {
		return 0, fmt.Errorf("shape %v of %s does not fill whole bytes", shape, dtype)
	}
	return int64(size / 8), nil
}
