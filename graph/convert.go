package graph

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"
)

// writeConverted streams t in the type d.
func writeConverted(w io.Writer, t *Tensor, d DType) error {
	decode, encode := decoders[t.DType], encoders[d]
	if decode == nil || encode == nil {
		return fmt.Errorf("convert tensor %q from %v to %v: not floating-point types that are known", t.Name, t.DType, d)
	}
	c := &elementWriter{w: w, from: t.DType.Bits() / 8, to: d.Bits() / 8}
	var values [1 << 10]float32
	c.convert = func(dst, src []byte) {
		for len(dst) > 0 {
			n := min(len(values), len(dst)/c.to)
			decode(values[:n], src)
			encode(dst, values[:n])
			dst, src = dst[n*c.to:], src[n*c.from:]
		}
	}
	if c.from == 2 && c.to == 2 {
		table := halves(t.DType, d)
		c.convert = func(dst, src []byte) {
			for ; len(dst) >= 8; dst, src = dst[8:], src[8:] { // four at a time
				x := binary.LittleEndian.Uint64(src)
				binary.LittleEndian.PutUint64(dst, uint64(table[uint16(x)])|uint64(table[uint16(x>>16)])<<16|
					uint64(table[uint16(x>>32)])<<32|uint64(table[uint16(x>>48)])<<48)
			}
			for i := 0; i < len(dst); i += 2 {
				binary.LittleEndian.PutUint16(dst[i:], table[binary.LittleEndian.Uint16(src[i:])])
			}
		}
	}
	if _, err := t.Data.WriteTo(c); err != nil {
		return err
	}
	return c.flush()
}

// elementWriter is a writer that hands on elements of from bytes as elements of to bytes, whatever the pieces that they come in.
type elementWriter struct {
	w        io.Writer
	from, to int
	convert  func(dst, src []byte) // len(dst)/to elements
	out      []byte                // converted, not handed on
	partial  []byte                // of an element
}

// convertBytes is how many converted bytes are handed on at once.
const convertBytes = 256 << 10

func (c *elementWriter) Write(p []byte) (int, error) {
	taken := 0
	for len(c.partial) > 0 && taken < len(p) {
		c.partial = append(c.partial, p[taken])
		if taken++; len(c.partial) == c.from {
			whole := c.partial
			c.partial = nil
			if _, err := c.Write(whole); err != nil {
				return taken, err
			}
		}
	}
	for len(p)-taken >= c.from {
		n := min((len(p)-taken)/c.from, (convertBytes-len(c.out))/c.to)
		if c.out == nil {
			c.out = make([]byte, 0, convertBytes)
		}
		at := len(c.out)
		c.out = c.out[:at+n*c.to]
		c.convert(c.out[at:], p[taken:])
		if taken += n * c.from; len(c.out) < convertBytes {
			break
		}
		if err := c.flush(); err != nil {
			return taken, err
		}
	}
	c.partial = append(c.partial, p[taken:]...)
	return len(p), nil
}

func (c *elementWriter) flush() error {
	_, err := c.w.Write(c.out)
	c.out = c.out[:0]
	return err
}

// Float32s returns the elements of a floating-point tensor, converted to float32.
func (t *Tensor) Float32s() ([]float32, error) {
	t = t.unwidened()
	decode := decoders[t.DType]
	if decode == nil {
		return nil, fmt.Errorf("read tensor %q: %v elements, want floats", t.Name, t.DType)
	}
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]float32, t.Len())
	decode(out, b)
	return out, nil
}

// Chunk is some of a tensor's floating-point elements, as they are stored.
type Chunk struct {
	bytes  []byte
	size   int // of an element
	decode func([]float32, []byte)
}

// Len is the number of elements.
func (c Chunk) Len() int { return len(c.bytes) / c.size }

// Float32s converts len(values) elements, from the one at index at on, to float32.
func (c Chunk) Float32s(values []float32, at int) { c.decode(values, c.bytes[at*c.size:]) }

// Free lets the memory be used for another chunk. The receiver may call it when it is done with c.
func (c Chunk) Free() { chunkBuffers.Put(&c.bytes) }

var chunkBuffers sync.Pool // of *[]byte

// Chunks streams the elements of a floating-point tensor, n at a time: at is the index of the first. What is handed over is
// the receiver's.
func (t *Tensor) Chunks(n int, use func(at int64, c Chunk) error) error {
	t = t.unwidened()
	c := &chunker{n: n, size: t.DType.Bits() / 8, decode: decoders[t.DType], use: use}
	switch {
	case c.decode == nil:
		return fmt.Errorf("read tensor %q: %v elements, want floats", t.Name, t.DType)
	case t.Data == nil:
		return fmt.Errorf("tensor %q (%v) holds no bytes", t.Name, t.DType)
	}
	_, err := t.Data.WriteTo(c)
	if err == nil && len(c.bytes) >= c.size {
		err = c.flush()
	}
	if err == nil && (c.at != t.Len() || len(c.bytes) > 0) {
		err = fmt.Errorf("%d elements, want %d", c.at, t.Len())
	}
	if err != nil {
		return fmt.Errorf("read tensor %q: %w", t.Name, err)
	}
	return nil
}

// unwidened is the tensor that t, of float32, is converted from, whose elements become float32 as they are decoded; else t.
func (t *Tensor) unwidened() *Tensor {
	if c, ok := t.Data.(converted); ok && t.DType == Float {
		return c.of
	}
	return t
}

// chunker is a writer that hands on what it gets, n elements at a time.
type chunker struct {
	n, size int
	decode  func([]float32, []byte)
	use     func(at int64, c Chunk) error
	bytes   []byte // not handed on
	at      int64
}

func (c *chunker) Write(p []byte) (int, error) {
	for written := 0; written < len(p); {
		if c.bytes == nil {
			c.bytes = c.buffer()
		}
		n := min(c.n*c.size-len(c.bytes), len(p)-written)
		c.bytes = append(c.bytes, p[written:written+n]...)
		if written += n; len(c.bytes) < c.n*c.size {
			break
		}
		if err := c.flush(); err != nil {
			return written, err
		}
	}
	return len(p), nil
}

// buffer is empty memory for a chunk.
func (c *chunker) buffer() []byte {
	if b, ok := chunkBuffers.Get().(*[]byte); ok && cap(*b) >= c.n*c.size {
		return (*b)[:0]
	}
	return make([]byte, 0, c.n*c.size)
}

// flush hands on the whole elements that there are.
func (c *chunker) flush() error {
	whole := len(c.bytes) / c.size * c.size
	chunk, at := Chunk{c.bytes[:whole], c.size, c.decode}, c.at
	c.bytes, c.at = append([]byte(nil), c.bytes[whole:]...), c.at+int64(chunk.Len())
	return c.use(at, chunk)
}

// decoders and encoders turn little-endian bytes into float32 and back; as many elements as there are values.
var decoders = map[DType]func([]float32, []byte){
	Float: func(values []float32, b []byte) {
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	},
	Double: func(values []float32, b []byte) {
		for i := range values {
			values[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
	},
	Float16: func(values []float32, b []byte) {
		for i := range values {
			values[i] = Float16ToFloat32(binary.LittleEndian.Uint16(b[2*i:]))
		}
	},
	BFloat16: func(values []float32, b []byte) {
		for len(values) >= 4 && len(b) >= 8 { // four at a time
			x := binary.LittleEndian.Uint64(b)
			values[0], values[1] = math.Float32frombits(uint32(x)<<16), math.Float32frombits(uint32(x)&^0xffff)
			values[2], values[3] = math.Float32frombits(uint32(x>>32)<<16), math.Float32frombits(uint32(x>>32)&^0xffff)
			values, b = values[4:], b[8:]
		}
		for i := range values {
			values[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		}
	},
}

var encoders = map[DType]func([]byte, []float32){
	Float: func(b []byte, values []float32) {
		for i, v := range values {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		}
	},
	Float16: func(b []byte, values []float32) {
		for i, v := range values {
			binary.LittleEndian.PutUint16(b[2*i:], Float32ToFloat16(v))
		}
	},
	BFloat16: func(b []byte, values []float32) {
		for i, v := range values {
			binary.LittleEndian.PutUint16(b[2*i:], Float32ToBFloat16(v))
		}
	},
}

// halves is the conversion of every number of one 16-bit type to another, computed once.
func halves(from, to DType) *[1 << 16]uint16 {
	t, _ := halfTables.LoadOrStore([2]DType{from, to}, sync.OnceValue(func() *[1 << 16]uint16 {
		var table [1 << 16]uint16
		var in, out [2]byte
		var value [1]float32
		for i := range table {
			binary.LittleEndian.PutUint16(in[:], uint16(i))
			decoders[from](value[:], in[:])
			encoders[to](out[:], value[:])
			table[i] = binary.LittleEndian.Uint16(out[:])
		}
		return &table
	}))
	return t.(func() *[1 << 16]uint16)()
}

var halfTables sync.Map
