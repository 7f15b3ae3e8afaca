package ort

import (
	"fmt"

	ort "github.com/yalue/onnxruntime_go"
)

// An ElementType is ONNX's TensorProto.DataType; ONNX Runtime numbers its
// element types alike.
type ElementType int

// The element types that models of this tool use.
const (
	Float    ElementType = 1
	Uint8    ElementType = 2
	Int8     ElementType = 3
	Uint16   ElementType = 4
	Int16    ElementType = 5
	Int32    ElementType = 6
	Int64    ElementType = 7
	String   ElementType = 8
	Bool     ElementType = 9
	Float16  ElementType = 10
	Double   ElementType = 11
	Uint32   ElementType = 12
	Uint64   ElementType = 13
	BFloat16 ElementType = 16
)

// An element says how an element type is held in Go and passed to ONNX Runtime.
type element struct {
	name  string
	bytes int64
	// wrap gives ONNX Runtime a view of data, which must be a slice of the
	// element's Go type.
	wrap func(shape []int64, data any) (ort.Value, error)
	// unwrap takes the data out of a value that ONNX Runtime made.
	unwrap func(v ort.Value) (any, bool)
	// alloc makes the data of an output of n elements.
	alloc func(n int64) any
}

var elementTypes = map[ElementType]element{
	Float:    typed[float32]("float", 4),
	Uint8:    typed[uint8]("uint8", 1),
	Int8:     typed[int8]("int8", 1),
	Uint16:   typed[uint16]("uint16", 2),
	Int16:    typed[int16]("int16", 2),
	Int32:    typed[int32]("int32", 4),
	Int64:    typed[int64]("int64", 8),
	Bool:     typed[bool]("bool", 1),
	Double:   typed[float64]("double", 8),
	Uint32:   typed[uint32]("uint32", 4),
	Uint64:   typed[uint64]("uint64", 8),
	Float16:  raw("float16", 2, Float16),
	BFloat16: raw("bfloat16", 2, BFloat16),
	String:   {name: "string"},
}

// String returns the ONNX name in lower case, as in "float16".
func (t ElementType) String() string {
	if e, ok := elementTypes[t]; ok {
		return e.name
	}
	return fmt.Sprintf("type %d", int(t))
}

func typed[T ort.TensorData](name string, bytes int64) element {
	return element{
		name:  name,
		bytes: bytes,
		wrap: func(shape []int64, data any) (ort.Value, error) {
			elems, ok := data.([]T)
			if !ok {
				return nil, fmt.Errorf("element type %s needs %T, not %T", name, []T(nil), data)
			}
			n, err := elements(shape)
			if err != nil {
				return nil, err
			}
			if n != int64(len(elems)) {
				return nil, fmt.Errorf("shape %v needs %d elements, not %d", shape, n, len(elems))
			}
			if len(shape) == 0 {
				return scalar(elems[0])
			}
			t, err := ort.NewTensor(ort.NewShape(shape...), elems)
			if err != nil {
				return nil, err
			}
			return t, nil
		},
		unwrap: func(v ort.Value) (any, bool) {
			switch t := v.(type) {
			case *ort.Tensor[T]:
				return t.GetData(), true
			case *ort.Scalar[T]:
				return []T{t.GetData()}, true
			}
			return nil, false
		},
		alloc: func(n int64) any { return make([]T, n) },
	}
}

func scalar[T ort.TensorData](x T) (ort.Value, error) {
	s, err := ort.NewScalar(x)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// raw is an element type that Go lacks: its data is bytes, little endian.
func raw(name string, bytes int64, t ElementType) element {
	return element{
		name:  name,
		bytes: bytes,
		wrap: func(shape []int64, data any) (ort.Value, error) {
			b, ok := data.([]byte)
			if !ok {
				return nil, fmt.Errorf("element type %s needs its bytes as []byte, not %T", name, data)
			}
			n, err := elements(shape)
			if err != nil {
				return nil, err
			}
			if n*bytes != int64(len(b)) {
				return nil, fmt.Errorf("shape %v of %s needs %d bytes, not %d", shape, name, n*bytes, len(b))
			}
			if n == 0 || len(shape) == 0 {
				return nil, fmt.Errorf("a %s tensor of shape %v is not supported by the onnxruntime binding", name, shape)
			}
			v, err := ort.NewCustomDataTensor(ort.NewShape(shape...), b, ort.TensorElementDataType(t))
			if err != nil {
				return nil, err
			}
			return v, nil
		},
		unwrap: func(v ort.Value) (any, bool) {
			t, ok := v.(*ort.CustomDataTensor)
			if !ok {
				return nil, false
			}
			return t.GetData(), true
		},
		alloc: func(n int64) any { return make([]byte, n*bytes) },
	}
}
