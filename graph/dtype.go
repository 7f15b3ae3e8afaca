package graph

import "fmt"

// DType is an element type, numbered as ONNX's TensorProto.DataType.
type DType int32

// The element types of ONNX 1.20 (onnx.proto, TensorProto.DataType).
const (
	Undefined      DType = 0
	Float          DType = 1
	Uint8          DType = 2
	Int8           DType = 3
	Uint16         DType = 4
	Int16          DType = 5
	Int32          DType = 6
	Int64          DType = 7
	String         DType = 8
	Bool           DType = 9
	Float16        DType = 10
	Double         DType = 11
	Uint32         DType = 12
	Uint64         DType = 13
	Complex64      DType = 14
	Complex128     DType = 15
	BFloat16       DType = 16
	Float8E4M3FN   DType = 17
	Float8E4M3FNUZ DType = 18
	Float8E5M2     DType = 19
	Float8E5M2FNUZ DType = 20
	Uint4          DType = 21
	Int4           DType = 22
	Float4E2M1     DType = 23
	Float8E8M0     DType = 24
	Uint2          DType = 25
	Int2           DType = 26
)

// dtypes gives each element type its spec name and its width in bits; strings have none.
var dtypes = map[DType]struct {
	name string
	bits int
}{
	Undefined:      {"UNDEFINED", 0},
	Float:          {"FLOAT", 32},
	Uint8:          {"UINT8", 8},
	Int8:           {"INT8", 8},
	Uint16:         {"UINT16", 16},
	Int16:          {"INT16", 16},
	Int32:          {"INT32", 32},
	Int64:          {"INT64", 64},
	String:         {"STRING", 0},
	Bool:           {"BOOL", 8},
	Float16:        {"FLOAT16", 16},
	Double:         {"DOUBLE", 64},
	Uint32:         {"UINT32", 32},
	Uint64:         {"UINT64", 64},
	Complex64:      {"COMPLEX64", 64},
	Complex128:     {"COMPLEX128", 128},
	BFloat16:       {"BFLOAT16", 16},
	Float8E4M3FN:   {"FLOAT8E4M3FN", 8},
	Float8E4M3FNUZ: {"FLOAT8E4M3FNUZ", 8},
	Float8E5M2:     {"FLOAT8E5M2", 8},
	Float8E5M2FNUZ: {"FLOAT8E5M2FNUZ", 8},
	Uint4:          {"UINT4", 4},
	Int4:           {"INT4", 4},
	Float4E2M1:     {"FLOAT4E2M1", 4},
	Float8E8M0:     {"FLOAT8E8M0", 8},
	Uint2:          {"UINT2", 2},
	Int2:           {"INT2", 2},
}

// String returns the spec's name, such as "FLOAT16".
func (d DType) String() string {
	if t, ok := dtypes[d]; ok {
		return t.name
	}
	return fmt.Sprintf("DType(%d)", int32(d))
}

// Bits is the width of one element in bits; 0 for strings and unknown types.
func (d DType) Bits() int { return dtypes[d].bits }

// Bytes is the size in bytes of n elements, sub-byte types packed as ONNX packs them;
// -1 where n is negative, the size does not fit in an int64, or the type has no fixed width.
func (d DType) Bytes(n int64) int64 {
	bits := int64(d.Bits())
	if bits == 0 || n < 0 || n > (1<<62)/bits {
		return -1
	}
	return (n*bits + 7) / 8
}

// IsFloat reports whether d is a floating-point type.
func (d DType) IsFloat() bool {
	switch d {
	case Float, Float16, BFloat16, Double, Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float8E8M0, Float4E2M1:
		return true
	}
	return false
}
