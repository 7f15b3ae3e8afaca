package gguf

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// maxDims is the most dimensions that the format gives a tensor.
const maxDims = 4

// Tensor is one tensor of an open file.
type Tensor struct {
	Name  string
	Type  string  // as it is stored, by its name in ggml: "Q4_1", "F16", …
	DType string  // as it is read, by its name in safetensors: "F32" for what is quantized
	Shape []int64 // the slowest dimension first, as in safetensors; the file has them the other way round

	block  *blockType
	offset uint64 // from the start of the data
	stored int64  // bytes in the file
	data   io.ReaderAt
	rows   []int64 // the stored rows in the order in which they are read; nil: as they are stored
}

// tensor reads one tensor's entry.
func (h *header) tensor() (*Tensor, error) {
	name, err := h.string()
	if err != nil {
		return nil, fmt.Errorf("name: %w", err)
	}
	t := &Tensor{Name: name}
	if err := h.tensorInfo(t); err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return t, nil
}

func (h *header) tensorInfo(t *Tensor) error {
	dims, err := h.uint32()
	if err != nil {
		return err
	}
	if dims > maxDims {
		return fmt.Errorf("%d dimensions, at most %d are allowed", dims, maxDims)
	}
	t.Shape = make([]int64, dims)
	for i := range t.Shape {
		n, err := h.uint64()
		if err != nil {
			return err
		}
		if n == 0 || n > 1<<62 {
			return fmt.Errorf("dimension %d is %d", i, n)
		}
		t.Shape[len(t.Shape)-1-i] = int64(n)
	}
	kind, err := h.uint32()
	if err != nil {
		return err
	}
	if t.block, err = typeOf(kind); err != nil {
		return err
	}
	t.Type, t.DType = t.block.name, t.block.dtype
	if t.offset, err = h.uint64(); err != nil {
		return err
	}
	return t.measure()
}

// measure computes the bytes that the tensor takes in the file.
func (t *Tensor) measure() error {
	elements := uint64(1)
	for _, n := range t.Shape {
		hi, lo := bits.Mul64(elements, uint64(n))
		if hi != 0 || lo > 1<<56 {
			return fmt.Errorf("shape %v is too large", t.Shape)
		}
		elements = lo
	}
	if n := t.columns(); n%t.block.elements != 0 {
		return fmt.Errorf("rows of %d elements cannot be cut into %s's blocks of %d", n, t.Type, t.block.elements)
	}
	t.stored = int64(elements) / t.block.elements * t.block.bytes
	return nil
}

// columns is the length of a row: the last dimension of a matrix; the elements of a vector are rows of their own.
func (t *Tensor) columns() int64 {
	if len(t.Shape) < 2 && t.block.elements == 1 {
		return 1
	}
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[len(t.Shape)-1]
}

// Reordered is the tensor with its rows in another order: row i of the result is row order(i) of t. A
// row is what the last dimension runs over; of a vector it is one element.
func (t *Tensor) Reordered(order func(row int64) int64) (*Tensor, error) {
	n := t.stored / t.block.bytes * t.block.elements / t.columns()
	rows, seen := make([]int64, n), make([]bool, n)
	for i := range rows {
		from := order(int64(i))
		if from < 0 || from >= n || seen[from] {
			return nil, fmt.Errorf("tensor %q: reorder rows: row %d twice or not among %d", t.Name, from, n)
		}
		rows[i], seen[from] = from, true
	}
	out := *t
	out.rows = rows
	return &out, nil
}

// Size is the length in bytes of the tensor as it is read.
func (t *Tensor) Size() int64 {
	return t.stored / t.block.bytes * t.block.elements * t.block.width
}

// Open returns a reader over the tensor's row-major little-endian values. It
// reads from the file as it goes.
func (t *Tensor) Open() (io.ReadCloser, error) {
	return io.NopCloser(t.reader()), nil
}

// readBlocks is how many blocks are read and dequantized at a time.
const readBlocks = 1 << 12

func (t *Tensor) reader() *reader {
	r := &reader{t: t, blocks: readBlocks}
	if t.rows != nil {
		r.blocks = t.columns() / t.block.elements
	}
	r.raw = make([]byte, min(r.blocks*t.block.bytes, t.stored))
	if t.block.decode != nil {
		r.values = make([]byte, int64(len(r.raw))/t.block.bytes*t.block.elements*t.block.width)
	}
	return r
}

// reader reads runs of blocks: as many as fit its buffer or, where rows are reordered, a row.
type reader struct {
	t       *Tensor
	blocks  int64
	run     int64 // of blocks, that is read next
	raw     []byte
	values  []byte // nil where raw is what is read
	pending []byte
}

func (r *reader) Read(p []byte) (int, error) {
	if len(r.pending) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

func (r *reader) fill() error {
	length := r.blocks * r.t.block.bytes
	at := r.run * length
	if at >= r.t.stored {
		return io.EOF
	}
	if r.t.rows != nil {
		at = r.t.rows[r.run] * length
	}
	raw := r.raw[:min(length, r.t.stored-at)]
	if n, err := r.t.data.ReadAt(raw, at); n < len(raw) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("tensor %q: %w", r.t.Name, err)
	}
	r.run++
	r.pending = raw
	if r.values != nil {
		n := int64(len(raw)) / r.t.block.bytes
		r.pending = r.values[:n*r.t.block.elements*r.t.block.width]
		r.t.block.decodeAll(r.pending, raw)
	}
	return nil
}

// WriteTo copies the tensor's values to w.
func (t *Tensor) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, t.reader(), make([]byte, max(1, min(t.Size(), 1<<18))))
}
