package graph

import (
	"encoding/binary"
	"math"
)

// numeric are the types that evaluation computes in: float32 for FLOAT, FLOAT16 and BFLOAT16
// (which round after each operator, as numpy does), float64 for DOUBLE, uint64 for UINT64 and
// int64 for the other integers and BOOL. Integer results wrap when they are stored.
type numeric interface {
	float32 | float64 | int64 | uint64
}

// kind says which numeric type computes d; 0 where none does.
func kind(d DType) byte {
	switch d {
	case Float, Float16, BFloat16:
		return 'f'
	case Double:
		return 'd'
	case Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Bool:
		return 'i'
	case Uint64:
		return 'u'
	}
	return 0
}

// elements reads all of t as T, converting by value where T is wide enough and as numpy's
// astype does where not.
func elements[T numeric](t *Tensor) ([]T, error) {
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]T, t.Len())
	read := reader[T](t.DType)
	if read == nil {
		return nil, ErrNoFold
	}
	size := int64(t.DType.Bits() / 8)
	for i := range out {
		out[i] = read(b[int64(i)*size:])
	}
	return out, nil
}

// reader decodes one element of d from little-endian bytes.
func reader[T numeric](d DType) func([]byte) T {
	le := binary.LittleEndian
	switch d {
	case Float:
		return func(b []byte) T { return fromFloat[T](float64(math.Float32frombits(le.Uint32(b)))) }
	case Double:
		return func(b []byte) T { return fromFloat[T](math.Float64frombits(le.Uint64(b))) }
	case Float16:
		return func(b []byte) T { return fromFloat[T](float64(Float16ToFloat32(le.Uint16(b)))) }
	case BFloat16:
		return func(b []byte) T {
			return fromFloat[T](float64(math.Float32frombits(uint32(le.Uint16(b)) << 16)))
		}
	case Int64:
		return func(b []byte) T { return T(int64(le.Uint64(b))) }
	case Uint64:
		return func(b []byte) T { return T(le.Uint64(b)) }
	case Int32:
		return func(b []byte) T { return T(int32(le.Uint32(b))) }
	case Uint32:
		return func(b []byte) T { return T(le.Uint32(b)) }
	case Int16:
		return func(b []byte) T { return T(int16(le.Uint16(b))) }
	case Uint16:
		return func(b []byte) T { return T(le.Uint16(b)) }
	case Int8:
		return func(b []byte) T { return T(int8(b[0])) }
	case Uint8, Bool:
		return func(b []byte) T { return T(b[0]) }
	}
	return nil
}

// fromFloat converts as C does on x86-64: out of range and NaN give the smallest int64.
func fromFloat[T numeric](x float64) T {
	var zero T
	switch any(zero).(type) {
	case int64:
		if !(x >= -(1<<63) && x < 1<<63) {
			return T(any(int64(math.MinInt64)).(int64))
		}
	case uint64:
		if !(x > -(1<<63) && x < 1<<64) {
			return zero
		}
		if x < 0 {
			return T(uint64(int64(x)))
		}
	}
	return T(x)
}

// writer encodes one T as an element of d; integers wrap, floats round to nearest even.
func writer[T numeric](d DType) func([]byte, T) []byte {
	le := binary.LittleEndian
	switch d {
	case Float:
		return func(b []byte, x T) []byte { return le.AppendUint32(b, math.Float32bits(float32(x))) }
	case Double:
		return func(b []byte, x T) []byte { return le.AppendUint64(b, math.Float64bits(float64(x))) }
	case Float16:
		return func(b []byte, x T) []byte { return le.AppendUint16(b, Float32ToFloat16(float32(x))) }
	case BFloat16:
		return func(b []byte, x T) []byte { return le.AppendUint16(b, Float32ToBFloat16(float32(x))) }
	case Int64, Uint64:
		return func(b []byte, x T) []byte { return le.AppendUint64(b, toBits(x)) }
	case Int32, Uint32:
		return func(b []byte, x T) []byte { return le.AppendUint32(b, uint32(toBits(x))) }
	case Int16, Uint16:
		return func(b []byte, x T) []byte { return le.AppendUint16(b, uint16(toBits(x))) }
	case Int8, Uint8:
		return func(b []byte, x T) []byte { return append(b, byte(toBits(x))) }
	case Bool:
		return func(b []byte, x T) []byte {
			if x != 0 {
				return append(b, 1)
			}
			return append(b, 0)
		}
	}
	return nil
}

func toBits[T numeric](x T) uint64 {
	switch y := any(x).(type) {
	case float32:
		return uint64(fromFloat[int64](float64(y)))
	case float64:
		return uint64(fromFloat[int64](y))
	case int64:
		return uint64(y)
	case uint64:
		return y
	}
	return 0
}

// tensorOf makes a tensor of type d and shape from computed elements.
func tensorOf[T numeric](d DType, shape []int64, list []T) (*Tensor, error) {
	write := writer[T](d)
	if write == nil || Count(shape) != int64(len(list)) {
		return nil, ErrNoFold
	}
	b := make([]byte, 0, len(list)*d.Bits()/8)
	for _, x := range list {
		b = write(b, x)
	}
	return &Tensor{DType: d, Shape: shape, Data: Raw(b)}, nil
}

// Float32ToFloat16 rounds to the nearest IEEE 754 binary16 value, ties to even; what is too large becomes infinite.
func Float32ToFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	exp := int32(bits>>23&0xff) - 127
	frac := bits & 0x7fffff
	switch {
	case exp == 128 && frac != 0:
		return sign | 0x7e00 | uint16(frac>>13)
	case exp > 15:
		return sign | 0x7c00
	case exp >= -14:
		return sign | uint16(roundShift(uint32(exp+15)<<23|frac, 13))
	case exp >= -25:
		return sign | uint16(roundShift(frac|0x800000, uint32(-1-exp)))
	}
	return sign
}

// roundShift is x >> n, rounded to nearest, ties to even.
func roundShift(x, n uint32) uint32 {
	half := uint32(1) << (n - 1)
	rest := x & (1<<n - 1)
	x >>= n
	if rest > half || rest == half && x&1 == 1 {
		x++
	}
	return x
}

// Float32ToBFloat16 rounds to the nearest bfloat16 value, ties to even.
func Float32ToBFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	if f != f {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
