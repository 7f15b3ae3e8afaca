package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// format is a floating-point element type and how its little-endian bytes
// become float32 and back.
type format struct {
	name   string
	size   int // bytes per element
	decode func(dst []float32, src []byte)
	encode func(dst []byte, src []float32)
}

var formats = []format{
	{F64, 8, decodeF64, encodeF64},
	{F32, 4, decodeF32, encodeF32},
	{F16, 2, decodeF16, encodeF16},
	{BF16, 2, decodeBF16, encodeBF16},
}

func floatFormat(dtype string) (*format, error) {
	for i := range formats {
		if formats[i].name == dtype {
			return &formats[i], nil
		}
	}
	return nil, fmt.Errorf("dtype %q is not one of F64, F32, F16, BF16", dtype)
}

// castElements is how many elements Cast converts at a time.
const castElements = 1 << 13

// Cast returns a reader of r's elements converted from one floating-point
// type to another (F64, F32, F16, BF16), little-endian on both sides. Values
// pass through float32: widening F16 and BF16 is exact, subnormals, infinities
// and NaNs included; narrowing rounds to nearest, ties to even, and overflows
// to infinity (F64 to F16 rounds twice, as torch does). Equal types are passed
// through unread, whatever they are. Data that stops inside an element is an
// io.ErrUnexpectedEOF.
func Cast(r io.Reader, from, to string) (io.Reader, error) {
	if from == to {
		return r, nil
	}
	src, err := floatFormat(from)
	if err != nil {
		return nil, fmt.Errorf("cast from %s to %s: %w", from, to, err)
	}
	dst, err := floatFormat(to)
	if err != nil {
		return nil, fmt.Errorf("cast from %s to %s: %w", from, to, err)
	}
	return &caster{
		r: r, src: src, dst: dst,
		in:     make([]byte, castElements*src.size),
		values: make([]float32, castElements),
		out:    make([]byte, castElements*dst.size),
	}, nil
}

type caster struct {
	r        io.Reader
	src, dst *format
	in       []byte
	values   []float32
	out      []byte
	pending  []byte // part of out that has not been read yet
	err      error  // what follows it
}

func (c *caster) Read(p []byte) (int, error) {
	for len(c.pending) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

func (c *caster) fill() {
	n, err := io.ReadFull(c.r, c.in)
	if err == io.ErrUnexpectedEOF && n%c.src.size == 0 {
		err = io.EOF
	}
	c.err = err
	values := c.values[:n/c.src.size]
	c.src.decode(values, c.in)
	c.pending = c.out[:len(values)*c.dst.size]
	c.dst.encode(c.pending, values)
}

func decodeF64(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
	}
}

func encodeF64(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(v)))
	}
}

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func encodeF32(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

func decodeF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(widenF16(binary.LittleEndian.Uint16(src[2*i:])))
	}
}

func encodeF16(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], roundF16(math.Float32bits(v)))
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

func encodeBF16(dst []byte, src []float32) {
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], roundBF16(math.Float32bits(v)))
	}
}

// widenF16 turns the bits of an IEEE 754 binary16 value (1 sign, 5 exponent,
// 10 fraction bits) into those of the equal binary32 value.
func widenF16(h uint16) uint32 {
	sign, exponent, fraction := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exponent == 0x1f: // infinity, NaN with its payload
		return sign | 0xff<<23 | fraction<<13
	case exponent > 0:
		return sign | (exponent+127-15)<<23 | fraction<<13
	case fraction == 0:
		return sign
	}
	// A subnormal, fraction * 2^-24, is normal in binary32.
	top := uint32(bits.Len32(fraction)) - 1
	return sign | (top+127-24)<<23 | (fraction<<(23-top))&0x7fffff
}

// roundF16 rounds the bits of a binary32 value to binary16, ties to even.
func roundF16(b uint32) uint16 {
	sign, magnitude := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case magnitude > 0xff<<23: // NaN: quiet, with what fits of its payload
		return sign | 0x7e00 | uint16(magnitude>>13&0x1ff)
	case magnitude >= (127+16)<<23: // 65536; what rounds up to it carries into infinity below
		return sign | 0x7c00
	case magnitude >= (127-14)<<23: // normal: a carry out of the fraction raises the exponent
		magnitude += 0xfff + magnitude>>13&1
		return sign | uint16((magnitude-(127-15)<<23)>>13)
	case magnitude < (127-25)<<23: // below half of the smallest subnormal
		return sign
	}
	shift := 126 - magnitude>>23 // to units of 2^-24
	fraction := magnitude&0x7fffff | 1<<23
	fraction += 1<<(shift-1) - 1 + fraction>>shift&1
	return sign | uint16(fraction>>shift)
}

// roundBF16 rounds the bits of a binary32 value to their upper half, ties to
// even.
func roundBF16(b uint32) uint16 {
	if b&0x7fffffff > 0xff<<23 { // NaN: quiet
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
