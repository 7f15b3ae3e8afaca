package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Entry announces a tensor to Create.
type Entry struct {
	Name  string
	DType string
	Shape []int64
}

// Writer writes a .safetensors file tensor by tensor. The file appears under
// its name when Commit has succeeded; until then it is a temporary sibling.
type Writer struct {
	path     string
	file     *os.File // nil after Commit or Close
	sections map[string]*section
}

// section is where one tensor goes in the file.
type section struct {
	offset, size int64
	written      bool
}

// Create starts a file with the given tensors and metadata; torch's loaders
// ask for {"format": "pt"}. The data is laid out like the reference
// implementation's: by element type, the most aligned first, then by name.
// Call Close in any case, after Commit if all went well.
func Create(path string, metadata map[string]string, entries []Entry) (*Writer, error) {
	head, sections, err := layout(metadata, entries)
	if err != nil {
		return nil, fmt.Errorf("write %q: %w", path, err)
	}
	f, err := os.OpenFile(fmt.Sprintf("%s.%d.partial", path, os.Getpid()), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("write %q: %w", path, err)
	}
	w := &Writer{path: path, file: f, sections: sections}
	if _, err := f.Write(head); err != nil {
		return nil, errors.Join(fmt.Errorf("write %q: %w", path, err), w.Close())
	}
	return w, nil
}

// layout makes the start of a file, up to the data, and places the tensors.
func layout(metadata map[string]string, entries []Entry) ([]byte, map[string]*section, error) {
	ordered := slices.SortedFunc(slices.Values(entries), func(a, b Entry) int {
		return cmp.Or(cmp.Compare(dtypeRank(b.DType), dtypeRank(a.DType)), cmp.Compare(a.Name, b.Name))
	})
	var text bytes.Buffer
	text.Write(make([]byte, 8)) // the length, once it is known
	text.WriteByte('{')
	if metadata != nil {
		writeField(&text, metadataKey, metadata)
	}
	sections := make(map[string]*section, len(entries))
	var offset int64
	for _, e := range ordered {
		size, err := ByteSize(e.DType, e.Shape)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("tensor %q: %w", e.Name, err)
		case sections[e.Name] != nil || e.Name == metadataKey:
			return nil, nil, fmt.Errorf("tensor %q: name is taken", e.Name)
		}
		writeField(&text, e.Name, struct {
			DType   string   `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{e.DType, append([]int64{}, e.Shape...), [2]int64{offset, offset + size}})
		sections[e.Name] = &section{offset: offset, size: size}
		offset += size
	}
	text.WriteByte('}')
	for text.Len()%8 != 0 {
		text.WriteByte(' ')
	}
	if text.Len()-8 > maxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes is above the limit of %d", text.Len()-8, maxHeader)
	}
	for _, s := range sections {
		s.offset += int64(text.Len())
	}
	binary.LittleEndian.PutUint64(text.Bytes(), uint64(text.Len()-8))
	return text.Bytes(), sections, nil
}

// writeField appends "name":value to a JSON object under way.
func writeField(text *bytes.Buffer, name string, value any) {
	if text.Len() > len("12345678{") {
		text.WriteByte(',')
	}
	writeJSON(text, name)
	text.WriteByte(':')
	writeJSON(text, value)
}

// writeJSON appends a value that cannot fail to encode, compactly.
func writeJSON(text *bytes.Buffer, value any) {
	enc := json.NewEncoder(text)
	enc.SetEscapeHTML(false)
	enc.Encode(value)
	text.Truncate(text.Len() - 1) // the encoder's newline
}

// Tensor writes the data of one announced tensor: write gets a buffered
// writer that takes exactly the tensor's size, row-major and little-endian.
// Tensors come in any order, from one goroutine at a time or several.
func (w *Writer) Tensor(name string, write func(io.Writer) error) error {
	if err := w.tensor(name, write); err != nil {
		return fmt.Errorf("write %q: tensor %q: %w", w.path, name, err)
	}
	return nil
}

func (w *Writer) tensor(name string, write func(io.Writer) error) error {
	s := w.sections[name]
	switch {
	case s == nil:
		return errors.New("was not announced")
	case w.file == nil:
		return os.ErrClosed
	}
	exact := &exactWriter{w: io.NewOffsetWriter(w.file, s.offset), left: s.size}
	buffered := bufio.NewWriterSize(exact, 1<<18)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if exact.left > 0 {
		return fmt.Errorf("%d of %d bytes are missing", exact.left, s.size)
	}
	s.written = true
	return nil
}

// exactWriter refuses what goes beyond a tensor's size.
type exactWriter struct {
	w    io.Writer
	left int64
}

func (e *exactWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > e.left {
		return 0, errors.New("more data than its shape holds")
	}
	n, err := e.w.Write(p)
	e.left -= int64(n)
	return n, err
}

// Commit checks that every announced tensor was written and puts the file in
// its place, replacing what was there.
func (w *Writer) Commit() error {
	if err := w.commit(); err != nil {
		return errors.Join(fmt.Errorf("write %q: %w", w.path, err), w.Close())
	}
	return nil
}

func (w *Writer) commit() error {
	if w.file == nil {
		return os.ErrClosed
	}
	for name, s := range w.sections {
		if !s.written && s.size > 0 {
			return fmt.Errorf("tensor %q was never written", name)
		}
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(w.file.Name(), w.path); err != nil {
		return err
	}
	w.file = nil
	return nil
}

// Close removes what was written unless Commit has succeeded.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Remove(f.Name())
}
