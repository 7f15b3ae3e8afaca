package safetensors

import (
	"fmt"
	"io"
)

// Tensor is one tensor of an open checkpoint.
type Tensor struct {
	Name  string
	DType string  // as in the header: F32, BF16, …
	Shape []int64 // empty for a scalar

	file       *file
	begin, end int64 // in the file
}

// Size is the length of the tensor's data in bytes.
func (t *Tensor) Size() int64 { return t.end - t.begin }

// Open returns a reader over the tensor's row-major little-endian bytes. It
// reads from the file as it goes.
func (t *Tensor) Open() (io.ReadCloser, error) {
	return io.NopCloser(t.section()), nil
}

func (t *Tensor) section() *io.SectionReader {
	return io.NewSectionReader(t.file, t.begin, t.Size())
}

// ReadAt reads from the tensor's data, off bytes after its start, as
// io.ReaderAt says.
func (t *Tensor) ReadAt(p []byte, off int64) (int, error) {
	return t.section().ReadAt(p, off)
}

// WriteTo copies the tensor's data to w through a small buffer. A file that
// has become shorter since it was opened is an io.ErrUnexpectedEOF.
func (t *Tensor) WriteTo(w io.Writer) (int64, error) {
	buf := make([]byte, max(1, min(t.Size(), 1<<18)))
	dst := struct{ io.Writer }{w} // hides ReadFrom, which would not use buf
	n, err := io.CopyBuffer(dst, t.section(), buf)
	if err == nil && n < t.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return n, nil
}

// Bytes returns the tensor's data in the memory-mapped file. The slice is
// read-only, may start at any address (not aligned to its elements) and is
// valid until the checkpoint is closed. Should another program cut the file
// short meanwhile, reading the slice kills the process: use Open where that
// can happen.
func (t *Tensor) Bytes() ([]byte, error) {
	b, err := t.file.bytes(t.begin, t.end)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return b, nil
}

// Release gives the memory behind Bytes back to the system once the tensor
// has been read. Slices stay valid and are read from the file again if they
// are used again.
func (t *Tensor) Release() error { return t.file.release(t.begin, t.end) }

// Float32 reads the tensor's values as float32, row-major. The element types
// are those that Cast reads.
func (t *Tensor) Float32() ([]float32, error) {
	values, err := t.float32()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return values, nil
}

func (t *Tensor) float32() ([]float32, error) {
	format, err := floatFormat(t.DType)
	if err != nil {
		return nil, err
	}
	values := make([]float32, t.Size()/int64(format.size))
	buf := make([]byte, castElements*format.size)
	r := t.section()
	for rest := values; len(rest) > 0; {
		n := min(len(rest), castElements)
		if _, err := io.ReadFull(r, buf[:n*format.size]); err != nil {
			return nil, noEOF(err)
		}
		format.decode(rest[:n], buf)
		rest = rest[n:]
	}
	return values, nil
}
