package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// The opcodes whose data may stay in the stream, the bytes of their lengths, and whether it is text.
var leavable = map[byte]struct {
	width int
	text  bool
}{
	'B': {4, false}, 0x8e: {8, false}, 'X': {4, true}, 0x8d: {8, true},
}

// leave passes over the data of an opcode where it is long enough to stay in the stream, and gives the machine a marker
// for it: bytes of the same kind that name the region.
func (s *scanner) leave(pickle *bytes.Buffer, op byte) (bool, error) {
	kind, ok := leavable[op]
	if !ok || s.outside == 0 {
		return false, nil
	}
	head, err := s.r.Peek(kind.width)
	if err != nil {
		return false, err
	}
	var wide [8]byte
	copy(wide[:], head)
	length := binary.LittleEndian.Uint64(wide[:])
	if length < uint64(s.outside) {
		return false, nil
	}
	if length > 1<<62 {
		return false, fmt.Errorf("length %d is impossible", length)
	}
	n, err := s.r.Discard(kind.width)
	s.n += int64(n)
	if err != nil {
		return false, err
	}
	r := region{start: s.n, length: int64(length), text: kind.text, bytes: int64(length)}
	if r.text {
		r.bytes, err = characters(io.LimitReader(s.r, r.length), r.length)
	} else {
		err = s.skip(r.length)
	}
	s.n += r.length
	if err != nil {
		return false, err
	}
	marker := regionMarker + strconv.Itoa(len(s.regions))
	s.regions = append(s.regions, r)
	code := byte('B')
	if r.text {
		code = 'X'
	}
	pickle.WriteByte(code)
	pickle.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(marker))))
	pickle.WriteString(marker)
	return true, nil
}

// skip passes over n bytes without reading those that are not in the buffer yet.
func (s *scanner) skip(n int64) error {
	buffered := min(n, int64(s.r.Buffered()))
	if _, err := s.r.Discard(int(buffered)); err != nil {
		return err
	}
	if n -= buffered; n == 0 {
		return nil
	}
	at, err := s.file.Seek(n, io.SeekCurrent)
	if err == nil && at > s.file.Size() {
		err = io.ErrUnexpectedEOF
	}
	s.r.Reset(s.file)
	return err
}

// regionMarker begins what stands in a pickle for a region. A file that holds such text itself can name no more than
// regions of its own.
const regionMarker = "\x00region "

// region is what a marker names.
func (s *scanner) region(marker string) (region, bool) {
	number, ok := strings.CutPrefix(marker, regionMarker)
	i, err := strconv.Atoi(number)
	if !ok || err != nil || i < 0 || i >= len(s.regions) {
		return region{}, false
	}
	return s.regions[i], true
}

// characters counts the characters of length bytes of UTF-8.
func characters(r io.Reader, length int64) (int64, error) {
	buf := make([]byte, 1<<16)
	n, read := int64(0), int64(0)
	for read < length {
		k, err := r.Read(buf)
		for _, b := range buf[:k] {
			if b&0xc0 != 0x80 {
				n++
			}
		}
		if read += int64(k); err != nil && read < length {
			return 0, noEOF(err)
		}
	}
	return n, nil
}

// storage reads a region of a file.
func (r region) storage(f *os.File) *storage {
	return &storage{size: r.bytes, open: func(offset, size int64) (io.ReadCloser, error) {
		if !r.text {
			return io.NopCloser(io.NewSectionReader(f, r.start+offset, size)), nil
		}
		text := &latin1{r: io.NewSectionReader(f, r.start, r.length), buf: make([]byte, 1<<16)}
		if _, err := io.CopyN(io.Discard, text, offset); err != nil {
			return nil, noEOF(err)
		}
		return io.NopCloser(io.LimitReader(text, size)), nil
	}}
}

// latin1 reads UTF-8 of characters below 256 as one byte each.
type latin1 struct {
	r       io.Reader
	buf     []byte
	pending []byte
	lead    byte // the first byte of a character whose second has not come yet; 0: none
}

func (l *latin1) Read(p []byte) (int, error) {
	for len(l.pending) == 0 {
		n, err := l.r.Read(l.buf)
		if n == 0 && err != nil {
			if l.lead != 0 {
				return 0, io.ErrUnexpectedEOF
			}
			return 0, err
		}
		if err := l.decode(l.buf[:n]); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.pending)
	l.pending = l.pending[n:]
	return n, nil
}

// decode turns b into what it stands for, in place.
func (l *latin1) decode(b []byte) error {
	out := b[:0]
	for _, c := range b {
		switch {
		case l.lead != 0 && c&0xc0 == 0x80:
			out, l.lead = append(out, l.lead<<6|c&0x3f), 0
		case l.lead != 0, c != 0xc2 && c != 0xc3 && c >= 0x80:
			return errors.New("text stands for bytes and has characters above 255")
		case c >= 0x80:
			l.lead = c
		default:
			out = append(out, c)
		}
	}
	l.pending = out
	return nil
}
