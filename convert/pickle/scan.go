package pickle

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits on one pickle. A state dict takes about 40 opcodes per tensor; the
// worst that a hostile file can make of as many as are allowed, two million
// empty dicts, takes about half a GiB.
const (
	maxOpcodes = 1 << 21
	maxLine    = 1 << 16
	maxMarks   = 1 << 10
)

// argument is what follows an opcode in the stream.
type argument byte

const (
	unsupported argument = iota
	none
	byte1 // so many bytes
	byte2
	byte4
	byte8
	line   // text up to a newline
	line2  // two of them
	count1 // a length in so many bytes, little-endian, and the data
	count4
	count8
	frame // an 8-byte length, which is only a hint for reading ahead
)

// arguments is the layout of the opcodes (Python's Lib/pickletools.py).
// Unsupported are the extension registry, out-of-band buffers and LONG4, which
// checkpoints do not use.
var arguments = [256]argument{
	'(': none, ')': none, '.': none, '0': none, '1': none, '2': none,
	'F': line, 'G': byte8, 'I': line, 'J': byte4, 'K': byte1, 'L': line, 'M': byte2, 'N': none,
	'P': line, 'Q': none, 'R': none, 'S': line, 'T': count4, 'U': count1, 'V': line, 'X': count4,
	']': none, 'a': none, 'b': none, 'c': line2, 'd': none, 'e': none, 'g': line, 'h': byte1,
	'i': line2, 'j': byte4, 'l': none, 'o': none, 'p': line, 'q': byte1, 'r': byte4, 's': none,
	't': none, 'u': none, '}': none,
	0x80: byte1, 0x81: none, 0x85: none, 0x86: none, 0x87: none, 0x88: none, 0x89: none, 0x8a: count1,
	'B': count4, 'C': count1,
	0x8c: count1, 0x8d: count8, 0x8e: count8, 0x8f: none, 0x90: none, 0x91: none, 0x92: none,
	0x93: none, 0x94: none, 0x95: frame, 0x96: count8,
}

const (
	stop       = '.'
	opensMark  = '('                // the opcode that pushes a mark
	closesMark = "1tldeuoi\x90\x91" // the opcodes that pop one
)

// scanner cuts a stream into pickles without running them. The pickle machine
// allocates whatever length an opcode claims, so each claim is checked here,
// against the bytes that are really there, before the machine sees it.
type scanner struct {
	r *bufio.Reader
	n int64 // bytes of the stream consumed so far

	outside int64             // bytes and texts from this length on stay in the stream; 0: none does
	file    *io.SectionReader // that r reads, where outside is set
	regions []region          // where they are
}

// region is data of an opcode that stays in the stream. What the machine sees in its place is its marker.
type region struct {
	start, length int64
	text          bool  // UTF-8 of characters below 256, one a byte, as Python writes bytes in protocol 2
	bytes         int64 // that it stands for
}

func newScanner(r io.Reader) *scanner { return &scanner{r: bufio.NewReader(r)} }

// next returns the next pickle, up to its STOP, without its frames.
func (s *scanner) next() ([]byte, error) {
	var pickle bytes.Buffer
	marks := 0
	for range maxOpcodes {
		at := s.n
		op, err := s.r.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("byte %d: pickle ends without STOP: %w", at, noEOF(err))
		}
		s.n++
		kind := arguments[op]
		if kind == unsupported {
			return nil, fmt.Errorf("byte %d: opcode 0x%02x is not supported", at, op)
		}
		if left, err := s.leave(&pickle, op); err != nil {
			return nil, fmt.Errorf("byte %d: opcode 0x%02x: %w", at, op, noEOF(err))
		} else if left {
			continue
		}
		if kind != frame {
			pickle.WriteByte(op)
		}
		if err := s.argument(&pickle, kind); err != nil {
			return nil, fmt.Errorf("byte %d: opcode 0x%02x: %w", at, op, noEOF(err))
		}
		switch {
		case op == stop:
			return pickle.Bytes(), nil
		case op == opensMark:
			marks++
		case marks > 0 && strings.IndexByte(closesMark, op) >= 0:
			marks--
		}
		if marks > maxMarks {
			return nil, fmt.Errorf("byte %d: more than %d marks are open", at, maxMarks)
		}
	}
	return nil, fmt.Errorf("pickle has more than %d opcodes", maxOpcodes)
}

// argument copies an opcode's argument to the pickle. The buffer grows with
// the data that arrives, not with the length that is claimed.
func (s *scanner) argument(pickle *bytes.Buffer, kind argument) error {
	switch kind {
	case byte1, byte2, byte4, byte8:
		return s.copy(pickle, 1<<(kind-byte1))
	case line:
		return s.line(pickle)
	case line2:
		if err := s.line(pickle); err != nil {
			return err
		}
		return s.line(pickle)
	case count1:
		return s.counted(pickle, 1)
	case count4:
		return s.counted(pickle, 4)
	case count8:
		return s.counted(pickle, 8)
	case frame:
		n, err := s.r.Discard(8)
		s.n += int64(n)
		return err
	}
	return nil
}

func (s *scanner) copy(pickle *bytes.Buffer, n int64) error {
	n, err := io.CopyN(pickle, s.r, n)
	s.n += n
	return err
}

func (s *scanner) counted(pickle *bytes.Buffer, width int64) error {
	if err := s.copy(pickle, width); err != nil {
		return err
	}
	var wide [8]byte
	copy(wide[:], pickle.Bytes()[pickle.Len()-int(width):])
	count := binary.LittleEndian.Uint64(wide[:])
	if count > 1<<62 {
		return fmt.Errorf("length %d is impossible", count)
	}
	return s.copy(pickle, int64(count))
}

func (s *scanner) line(pickle *bytes.Buffer) error {
	for range maxLine {
		b, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		s.n++
		pickle.WriteByte(b)
		if b == '\n' {
			return nil
		}
	}
	return errors.New("line is too long")
}

// noEOF turns the end of a file, which is an error inside a pickle, into one
// that no caller takes for a regular end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
