package torch

import "fmt"

// DType is the type of a tensor's elements, numbered as libtorch's c10::ScalarType.
type DType int32

// The element types that graft computes with.
const (
	Uint8    DType = 0
	Int8     DType = 1
	Int16    DType = 2
	Int32    DType = 3
	Int64    DType = 4
	Float16  DType = 5
	Float32  DType = 6
	Float64  DType = 7
	Bool     DType = 11
	BFloat16 DType = 15
)

// dtypes holds each type's name, as PyTorch prints it, and the bytes of one element.
var dtypes = map[DType]struct {
	name string
	size int
}{
	Uint8: {"uint8", 1}, Int8: {"int8", 1}, Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8},
	Float16: {"float16", 2}, BFloat16: {"bfloat16", 2}, Float32: {"float32", 4}, Float64: {"float64", 8}, Bool: {"bool", 1},
}

// String is PyTorch's name of the type, as "bfloat16".
func (d DType) String() string {
	if t, ok := dtypes[d]; ok {
		return t.name
	}
	return fmt.Sprintf("dtype %d", int32(d))
}

// Size is the number of bytes of one element, 0 for a type that is not in the list above.
func (d DType) Size() int { return dtypes[d].size }

// Floating says whether the type holds real numbers.
func (d DType) Floating() bool { return d == Float16 || d == BFloat16 || d == Float32 || d == Float64 }
