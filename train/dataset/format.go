package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"unsafe"
)

// The token cache is one file:
//
//	header
//	tokens    int32   of all texts, one after the other
//	rows      rowRecord
//	texts     textRecord; equal texts of one kind (query, passage) are one
//	passages  uint32  number of a text: the positives and negatives of all rows, one after the other
//	scores    float32 of each of passages, NaN where its row has none; left out where no row has any
//
// Everything is in the machine's byte order, each section on a multiple of 8 bytes, so that the mapped file is used as
// it is. On a machine of the other order the magic does not fit and the cache is made anew.

const (
	cacheMagic   uint64 = 0x67726166_746f6b31 // "graftok1"
	cacheVersion uint32 = 1                   // of this format, and of what hashes are made of
	sectionAlign        = 8
)

// header is the start of a cache. Counts are of elements.
type header struct {
	Magic                                 uint64
	Version                               uint32
	Checksum                              uint32 // CRC-32C of everything after the header, then of the header with 0 in this place
	Key                                   [32]byte
	Tokens, Rows, Texts, Passages, Scores uint64
}

const headerSize = int(unsafe.Sizeof(header{}))

// rowRecord is a row. Its passages are those from Passages on: Pos positives, then Neg negatives.
type rowRecord struct {
	Passages uint64
	Pos, Neg uint32
	Query    uint32 // number of a text
	Source   uint32
	Line     uint32
	Next     uint32 // the next row with this query, the first after the last: its own number where there is no other
}

// textRecord is a text's tokens and hash.
type textRecord struct {
	Start  uint64 // its first token
	Hash   uint64
	Length uint32 // in tokens
	_      uint32
}

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of a cache with this header whose other bytes have the checksum payload.
func (h header) sum(payload uint32) uint32 {
	h.Checksum = 0
	return crc32.Update(payload, crcTable, h.bytes())
}

func (h header) bytes() []byte {
	b := make([]byte, 0, headerSize)
	b, err := binary.Append(b, binary.NativeEndian, &h)
	if err != nil {
		panic(err) // header has fields of fixed size alone
	}
	return b
}

// errOtherKey is the error of a sound cache of other data.
var errOtherKey = errors.New("it is of other data")

// content is the sections of a cache, in its memory.
type content struct {
	tokens   []int32
	rows     []rowRecord
	texts    []textRecord
	passages []uint32
	scores   []float32 // as many as passages, or none
}

// parseCache finds the sections of a cache in its bytes, which must lie on a multiple of 8, and checks all of it: no
// later use of a number in it can go wrong.
func parseCache(data []byte, key [32]byte, sources int) (*content, error) {
	var h header
	if _, err := binary.Decode(data, binary.NativeEndian, &h); err != nil {
		return nil, fmt.Errorf("it has %d bytes, less than its header", len(data))
	}
	switch {
	case h.Magic != cacheMagic:
		return nil, errors.New("it is no token cache")
	case h.Version != cacheVersion:
		return nil, fmt.Errorf("it has version %d, not %d", h.Version, cacheVersion)
	case h.Key != key:
		return nil, errOtherKey
	case h.Scores != 0 && h.Scores != h.Passages:
		return nil, fmt.Errorf("it has %d scores for %d passages", h.Scores, h.Passages)
	}
	c := new(content)
	rest := data[headerSize:]
	var errs [5]error
	c.tokens, rest, errs[0] = section[int32](rest, h.Tokens)
	c.rows, rest, errs[1] = section[rowRecord](rest, h.Rows)
	c.texts, rest, errs[2] = section[textRecord](rest, h.Texts)
	c.passages, rest, errs[3] = section[uint32](rest, h.Passages)
	c.scores, rest, errs[4] = section[float32](rest, h.Scores)
	if err := errors.Join(errs[:]...); err != nil || len(rest) != 0 {
		return nil, fmt.Errorf("it has %d bytes, which its header's counts do not fit", len(data))
	}
	if h.sum(crc32.Checksum(data[headerSize:], crcTable)) != h.Checksum {
		return nil, errors.New("its checksum is wrong")
	}
	return c, c.check(sources)
}

var errSection = errors.New("section is longer than the file")

// section takes n elements, and what aligns the next section, from data.
func section[T any](data []byte, n uint64) ([]T, []byte, error) {
	size := uint64(unsafe.Sizeof(*new(T)))
	if n > uint64(len(data))/size {
		return nil, nil, errSection
	}
	end := (n*size + sectionAlign - 1) / sectionAlign * sectionAlign
	if end > uint64(len(data)) {
		return nil, nil, errSection
	}
	if n == 0 {
		return nil, data[end:], nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(data))), n), data[end:], nil
}

// sectionBytes are the bytes of a section's elements, in their memory.
func sectionBytes[T any](elements []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(elements))), len(elements)*int(unsafe.Sizeof(*new(T))))
}

// check checks every number that points at something.
func (c *content) check(sources int) error {
	for i, t := range c.texts {
		if n := uint64(len(c.tokens)); t.Start > n || uint64(t.Length) > n-t.Start {
			return fmt.Errorf("text %d is outside of its tokens", i)
		}
	}
	for i, text := range c.passages {
		if uint64(text) >= uint64(len(c.texts)) {
			return fmt.Errorf("passage %d has no text", i)
		}
	}
	reached := make([]bool, len(c.rows)) // by Next, each from one row alone: so the rows are rings, which end
	for i, r := range c.rows {
		n := uint64(len(c.passages))
		switch {
		case r.Passages > n || uint64(r.Pos)+uint64(r.Neg) > n-r.Passages:
			return fmt.Errorf("row %d is outside of its passages", i)
		case r.Pos == 0:
			return fmt.Errorf("row %d has no positive", i)
		case uint64(r.Query) >= uint64(len(c.texts)):
			return fmt.Errorf("row %d has no query", i)
		case uint64(r.Source) >= uint64(sources):
			return fmt.Errorf("row %d has no source", i)
		case uint64(r.Next) >= uint64(len(c.rows)) || reached[r.Next]:
			return fmt.Errorf("row %d has no next one", i)
		}
		reached[r.Next] = true
	}
	return nil
}

// maxNumber bounds rows and texts, whose numbers are 32 bits.
const maxNumber = math.MaxUint32
