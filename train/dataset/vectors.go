package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A teacher's vectors are one file: a header, then float32 [texts, dim] in the order of the texts' numbers, in the
// machine's byte order.

const vectorMagic uint64 = 0x67726166_74656131 // "graftea1"

// vectorHeader is its start.
type vectorHeader struct {
	Magic    uint64
	Key      [32]byte
	Dim      uint32
	Checksum uint32 // CRC-32C of everything after the header
	Texts    uint64
}

const vectorHeaderSize = int(unsafe.Sizeof(vectorHeader{}))

func (h vectorHeader) bytes() []byte {
	b, err := binary.Append(make([]byte, 0, vectorHeaderSize), binary.NativeEndian, &h)
	if err != nil {
		panic(err) // vectorHeader has fields of fixed size alone
	}
	return b
}

// vectors is such a file, mapped.
type vectors struct {
	dim     int
	data    []float32
	mapping []byte
}

// row is the vector of a text.
func (v *vectors) row(text uint32) []float32 {
	from := int(text) * v.dim
	return v.data[from : from+v.dim : from+v.dim]
}

func (v *vectors) close() error {
	if v == nil || v.mapping == nil {
		return nil
	}
	err := unix.Munmap(v.mapping)
	*v = vectors{}
	return err
}

// openVectors maps a file of vectors and checks all of it.
func openVectors(path string, key [32]byte, dim, texts int) (*vectors, error) {
	mapping, err := mapFile(path, vectorHeaderSize)
	if err != nil {
		return nil, err
	}
	v, err := parseVectors(mapping, key, dim, texts)
	if err != nil {
		return nil, errors.Join(err, unix.Munmap(mapping))
	}
	v.mapping = mapping
	return v, nil
}

func parseVectors(data []byte, key [32]byte, dim, texts int) (*vectors, error) {
	var h vectorHeader
	if _, err := binary.Decode(data, binary.NativeEndian, &h); err != nil {
		return nil, fmt.Errorf("it has %d bytes, less than its header", len(data))
	}
	rest := data[vectorHeaderSize:]
	switch {
	case h.Magic != vectorMagic:
		return nil, errors.New("it holds no vectors")
	case h.Key != key || h.Dim != uint32(dim) || h.Texts != uint64(texts):
		return nil, errOtherKey
	case uint64(len(rest)) != uint64(dim)*uint64(texts)*4:
		return nil, fmt.Errorf("it has %d bytes, which its %d vectors of %d features do not fit", len(data), texts, dim)
	case crc32.Checksum(rest, crcTable) != h.Checksum:
		return nil, errors.New("its checksum is wrong")
	}
	return &vectors{dim: dim, data: unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(rest))), dim*texts)}, nil
}
