package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// maxHeader is the longest header that the format allows.
const maxHeader = 100_000_000

const metadataKey = "__metadata__"

// header is what the start of a file says, with every claim checked against
// the file's real size.
type header struct {
	metadata map[string]string
	tensors  []*Tensor // in the order of their data
}

// readHeader reads and checks the header of a file of the given size.
func readHeader(r io.ReaderAt, size int64) (*header, error) {
	length, err := headerLength(r, size)
	if err != nil {
		return nil, err
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, length), text); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if !utf8.Valid(text) {
		return nil, errors.New("header is not UTF-8")
	}
	if text[0] != '{' {
		return nil, fmt.Errorf("header starts with %q at byte 8, not with '{'", text[0])
	}
	h, err := parseHeader(text)
	if err != nil {
		return nil, err
	}
	return h, h.place(8+length, size)
}

// headerLength reads the 8 bytes that say how long the header is and refuses
// what the file cannot hold, before anything is allocated.
func headerLength(r io.ReaderAt, size int64) (int64, error) {
	var first [8]byte
	if size < int64(len(first)) {
		return 0, fmt.Errorf("file of %d bytes is shorter than a header length", size)
	}
	if _, err := r.ReadAt(first[:], 0); err != nil {
		return 0, fmt.Errorf("header length: %w", err)
	}
	if string(first[:]) == "version " {
		return 0, errors.New("file is a Git LFS pointer, not the weights themselves")
	}
	length := binary.LittleEndian.Uint64(first[:])
	switch {
	case length > maxHeader:
		return 0, fmt.Errorf("header length %d is above the limit of %d bytes", length, maxHeader)
	case int64(length) > size-8:
		return 0, fmt.Errorf("header length %d is more than the %d bytes that follow: file truncated", length, size-8)
	case length < 2:
		return 0, fmt.Errorf("header length %d is too short for a JSON object", length)
	}
	return int64(length), nil
}

// parseHeader reads the JSON text. It works on tokens because encoding/json
// silently lets the last of two equal keys win.
func parseHeader(text []byte) (*header, error) {
	h := &header{}
	dec := json.NewDecoder(bytes.NewReader(text))
	err := eachKey(dec, func(name string) error {
		if name == metadataKey {
			h.metadata = make(map[string]string)
			return eachKey(dec, func(key string) error {
				var value string
				err := dec.Decode(&value)
				h.metadata[key] = value
				return err
			})
		}
		t := &Tensor{Name: name}
		h.tensors = append(h.tensors, t)
		return t.parse(dec)
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if rest := bytes.TrimLeft(text[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("header goes on after its JSON object, at byte %d", 8+len(text)-len(rest))
	}
	return h, nil
}

// eachKey reads one JSON object and calls value for every key, which has to
// consume the value. A key that comes twice is an error.
func eachKey(dec *json.Decoder, value func(key string) error) error {
	if token, err := dec.Token(); err != nil {
		return noEOF(err)
	} else if token != json.Delim('{') {
		return fmt.Errorf("byte %d: a JSON object is due", 8+dec.InputOffset())
	}
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return noEOF(err)
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("byte %d: a key is due", 8+dec.InputOffset())
		}
		if seen[key] {
			return fmt.Errorf("byte %d: key %q comes twice", 8+dec.InputOffset(), key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return fmt.Errorf("%q: %w", key, noEOF(err))
		}
	}
	_, err := dec.Token() // the closing brace
	return noEOF(err)
}

// noEOF turns the end of the text, which is an error inside an object, into
// one that no caller takes for a regular end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parse reads {"dtype": …, "shape": […], "data_offsets": […]}.
func (t *Tensor) parse(dec *json.Decoder) error {
	var offsets []int64
	err := eachKey(dec, func(key string) error {
		switch key {
		case "dtype":
			return dec.Decode(&t.DType)
		case "shape":
			return dec.Decode(&t.Shape)
		case "data_offsets":
			return dec.Decode(&offsets)
		}
		var ignored json.RawMessage
		return dec.Decode(&ignored)
	})
	switch {
	case err != nil:
		return err
	case t.DType == "" || t.Shape == nil:
		return errors.New("lacks dtype or shape")
	case len(offsets) != 2:
		return fmt.Errorf("data_offsets are %v, not [begin, end]", offsets)
	}
	t.begin, t.end = offsets[0], offsets[1]
	return nil
}

// place checks that the tensors fill the bytes from start to size without
// hole or overlap, each as long as its shape says, sorts them by offset and
// makes their offsets count from the start of the file.
func (h *header) place(start, size int64) error {
	slices.SortStableFunc(h.tensors, func(a, b *Tensor) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	data := size - start
	var next int64
	for _, t := range h.tensors {
		if t.begin < 0 || t.end < t.begin || t.end > data {
			return fmt.Errorf("tensor %q: data_offsets [%d, %d] lie outside the file's %d bytes of data", t.Name, t.begin, t.end, data)
		}
		if t.begin != next {
			return fmt.Errorf("tensor %q: begins at data offset %d, but the one before it ends at %d: overlap or hole", t.Name, t.begin, next)
		}
		want, err := ByteSize(t.DType, t.Shape)
		if err != nil {
			return fmt.Errorf("tensor %q: at data offset %d: %w", t.Name, t.begin, err)
		}
		if want != t.end-t.begin {
			return fmt.Errorf("tensor %q: %s %v needs %d bytes, data_offsets [%d, %d] hold %d", t.Name, t.DType, t.Shape, want, t.begin, t.end, t.end-t.begin)
		}
		next = t.end
		t.begin, t.end = t.begin+start, t.end+start
	}
	if next != data {
		return fmt.Errorf("data ends at offset %d, but the file holds %d bytes of data", next, data)
	}
	return nil
}
