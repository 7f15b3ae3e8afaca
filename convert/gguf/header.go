package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

const magic = "GGUF"

// header reads the start of a file in order and knows how much of the file is left.
type header struct {
	r    *bufio.Reader
	at   int64 // bytes read so far
	size int64 // of the file
}

func newHeader(r io.ReaderAt, size int64) *header {
	return &header{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), size: size}
}

// counts reads what comes before the metadata: magic number, version, and how many tensors and
// metadata values there are. A count that the file has no room for is refused.
func (h *header) counts() (tensors, values uint64, err error) {
	var first [4]byte
	if err := h.read(first[:]); err != nil || string(first[:]) != magic {
		return 0, 0, fmt.Errorf("not a GGUF file: it starts with %q, not with %q", first[:], magic)
	}
	version, err := h.uint32()
	switch {
	case err != nil:
		return 0, 0, err
	case version&0xffff == 0 && version != 0:
		return 0, 0, errors.New("the file is big-endian, which is not supported")
	case version != 2 && version != 3:
		return 0, 0, fmt.Errorf("version %d is not supported; 2 and 3 are", version)
	}
	if tensors, err = h.count("tensors", 24); err != nil { // the shortest: no name, no dimension
		return 0, 0, err
	}
	values, err = h.count("metadata values", 13) // the shortest: no name, one byte
	return tensors, values, err
}

func (h *header) read(p []byte) error {
	n, err := io.ReadFull(h.r, p)
	h.at += int64(n)
	if err != nil {
		return fmt.Errorf("byte %d: header ends early: %w", h.at, io.ErrUnexpectedEOF)
	}
	return nil
}

func (h *header) uint32() (uint32, error) {
	var b [4]byte
	err := h.read(b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

func (h *header) uint64() (uint64, error) {
	var b [8]byte
	err := h.read(b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

// count reads a number of things of at least least bytes each.
func (h *header) count(what string, least int64) (uint64, error) {
	at := h.at
	n, err := h.uint64()
	if err == nil && n > uint64((h.size-h.at)/least) {
		err = fmt.Errorf("byte %d: %d %s are more than the file of %d bytes holds", at, n, what, h.size)
	}
	return n, err
}

func (h *header) string() (string, error) {
	n, err := h.count("bytes of text", 1)
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	err = h.read(b)
	return string(b), err
}

// The types of metadata values, by their numbers in the format.
const (
	stringValue = 8
	arrayValue  = 9
)

// scalar is a fixed-size type of metadata value: bytes in the file, what they become, and how
// to make a slice of it.
type scalar struct {
	size   int
	decode func(b []byte) any
}

// scalars by their numbers in the format; all integers become 64 bits wide.
var scalars = map[uint32]scalar{
	0:  {1, func(b []byte) any { return uint64(b[0]) }},
	1:  {1, func(b []byte) any { return int64(int8(b[0])) }},
	2:  {2, func(b []byte) any { return uint64(binary.LittleEndian.Uint16(b)) }},
	3:  {2, func(b []byte) any { return int64(int16(binary.LittleEndian.Uint16(b))) }},
	4:  {4, func(b []byte) any { return uint64(binary.LittleEndian.Uint32(b)) }},
	5:  {4, func(b []byte) any { return int64(int32(binary.LittleEndian.Uint32(b))) }},
	6:  {4, func(b []byte) any { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }},
	7:  {1, func(b []byte) any { return b[0] != 0 }},
	10: {8, func(b []byte) any { return binary.LittleEndian.Uint64(b) }},
	11: {8, func(b []byte) any { return int64(binary.LittleEndian.Uint64(b)) }},
	12: {8, func(b []byte) any { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }},
}

// pair reads one key and its value.
func (h *header) pair() (string, any, error) {
	at := h.at
	key, err := h.string()
	if err != nil {
		return "", nil, fmt.Errorf("metadata: key: %w", err)
	}
	if !utf8.ValidString(key) {
		return "", nil, fmt.Errorf("metadata: byte %d: key %q is not UTF-8", at, key)
	}
	kind, err := h.uint32()
	var value any
	switch {
	case err != nil:
	case kind == arrayValue:
		value, err = h.array()
	default:
		value, err = h.value(kind)
	}
	if err != nil {
		return "", nil, fmt.Errorf("metadata: key %q: %w", key, err)
	}
	return key, value, nil
}

func (h *header) value(kind uint32) (any, error) {
	if kind == stringValue {
		return h.string()
	}
	s, ok := scalars[kind]
	if !ok {
		return nil, fmt.Errorf("byte %d: value type %d is not known", h.at-4, kind)
	}
	b := make([]byte, s.size)
	if err := h.read(b); err != nil {
		return nil, err
	}
	return s.decode(b), nil
}

// array reads a list of values of one type. The format allows no lists of lists in practice: llama.cpp
// refuses them too.
func (h *header) array() (any, error) {
	kind, err := h.uint32()
	if err != nil {
		return nil, err
	}
	least := int64(8) // a text's length
	if kind != stringValue {
		s, ok := scalars[kind]
		if !ok {
			return nil, fmt.Errorf("byte %d: list of values of type %d is not known", h.at-4, kind)
		}
		least = int64(s.size)
	}
	n, err := h.count("list items", least)
	if err != nil {
		return nil, err
	}
	switch kind {
	case stringValue:
		return list[string](h, kind, n)
	case 6, 12:
		return list[float64](h, kind, n)
	case 7:
		return list[bool](h, kind, n)
	case 1, 3, 5, 11:
		return list[int64](h, kind, n)
	}
	return list[uint64](h, kind, n)
}

// list reads n values of one type; it grows with what the file really holds.
func list[T any](h *header, kind uint32, n uint64) (any, error) {
	var values []T
	for range n {
		v, err := h.value(kind)
		if err != nil {
			return nil, err
		}
		values = append(values, v.(T))
	}
	return values, nil
}
