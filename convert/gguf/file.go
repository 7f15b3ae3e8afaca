// Package gguf reads models in llama.cpp's format
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and
// 3, little-endian: metadata, and tensors whose values are given as numbers
// again where they are stored quantized.
//
// Lengths, counts and offsets are checked against the file's real size before
// anything is allocated. Only the header is read when a file is opened;
// tensors are read, and dequantized, as they are streamed.
package gguf

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// File is an open GGUF file. It is safe for concurrent use; Close ends the
// life of its tensors.
type File struct {
	Tensors []*Tensor // in the order of the header

	metadata map[string]any // see Value
	close    func() error
}

// Open opens a file and reads its header.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // it names the path
	}
	info, err := f.Stat()
	var g *File
	if err == nil {
		g, err = Read(f, info.Size())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %q: %w", path, err), f.Close())
	}
	g.close = f.Close
	return g, nil
}

// Read reads the header of a file of the given size. Tensors read from r later.
func Read(r io.ReaderAt, size int64) (*File, error) {
	h := newHeader(r, size)
	tensors, values, err := h.counts()
	if err != nil {
		return nil, err
	}
	f := &File{metadata: map[string]any{}, close: func() error { return nil }}
	for range values {
		key, value, err := h.pair()
		if err != nil {
			return nil, err
		}
		if _, twice := f.metadata[key]; twice {
			return nil, fmt.Errorf("metadata: key %q stands there twice", key)
		}
		f.metadata[key] = value
	}
	for range tensors {
		t, err := h.tensor()
		if err != nil {
			return nil, fmt.Errorf("tensor %d: %w", len(f.Tensors), err)
		}
		f.Tensors = append(f.Tensors, t)
	}
	return f, f.place(r, h.at, size)
}

// defaultAlignment is that of tensors where the key general.alignment is not there.
const defaultAlignment = 32

// place finds the tensors' bytes, which follow the header from the next
// multiple of the alignment on, and checks that the file has them.
func (f *File) place(r io.ReaderAt, header, size int64) error {
	alignment, ok := f.Uint("general.alignment")
	if !ok {
		alignment = defaultAlignment
	}
	if alignment < 1 || alignment > 1<<20 {
		return fmt.Errorf("metadata: general.alignment is %d", alignment)
	}
	a := int64(alignment)
	start := (header + a - 1) / a * a
	seen := map[string]bool{}
	for _, t := range f.Tensors {
		switch {
		case seen[t.Name]:
			return fmt.Errorf("tensor %q stands there twice", t.Name)
		case t.offset%alignment != 0:
			return fmt.Errorf("tensor %q: offset %d is not a multiple of the alignment %d", t.Name, t.offset, alignment)
		case start > size || t.offset > uint64(size-start) || t.stored > size-start-int64(t.offset):
			return fmt.Errorf("tensor %q: %d bytes at offset %d reach beyond the end of the file of %d bytes: truncated", t.Name, t.stored, t.offset, size)
		}
		seen[t.Name] = true
		t.data = io.NewSectionReader(r, start+int64(t.offset), t.stored)
	}
	return nil
}

// Close closes the file; readers fail from here on.
func (f *File) Close() error { return f.close() }

// Keys are the names of the metadata, sorted.
func (f *File) Keys() []string { return slices.Sorted(maps.Keys(f.metadata)) }

// Value is a metadata value: uint64, int64, float64, bool or string, or a
// slice of one of these; nil where the key is not there.
func (f *File) Value(key string) any { return f.metadata[key] }

// Uint is a metadata value that is an integer and not negative.
func (f *File) Uint(key string) (uint64, bool) {
	switch v := f.metadata[key].(type) {
	case uint64:
		return v, true
	case int64:
		return uint64(v), v >= 0
	}
	return 0, false
}

// Get is a metadata value of the type T; false where there is none of that
// type.
func Get[T bool | string | float64 | []string | []float64 | []int64](f *File, key string) (T, bool) {
	v, ok := f.metadata[key].(T)
	return v, ok
}
