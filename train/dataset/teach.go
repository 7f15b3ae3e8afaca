package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// TeachOptions say who teaches.
type TeachOptions struct {
	// Open starts the teacher. It is called where vectors are missing, and closed when all are there.
	Open          func(ctx context.Context) (Teacher, error)
	Key           string // changes with everything that changes the teacher's vectors
	Dim           int    // features of a vector
	QueryPrompt   string // put before every query, but for rows with a prompt of their own
	PassagePrompt string // put before every passage
	QueryLength   int    // tokens of a query that the teacher reads
	PassageLength int

	Dir      string                // where the vectors are kept; made where it is missing
	Progress func(done, total int) // texts; nil: nobody asks
	Warn     func(message string)  // told where vectors were damaged and are computed anew; nil: nobody asks
}

// Teacher turns texts into vectors.
type Teacher interface {
	// Encode returns [len(texts), Dim] numbers, row-major, for texts read as it is asked.
	Encode(ctx context.Context, texts []string, a Asked) ([]float32, error)
	Close() error
}

// Asked says how a teacher is to read texts.
type Asked struct {
	Query     bool   // they are queries, else passages
	Prompt    string // put before each
	MaxLength int    // tokens they are cut to, the prompt's included
}

// teachWindow is how many texts go to the teacher, and then to the disk, at a time.
const teachWindow = 1024

// Teach has a teacher encode every text of the rows once, for the groups that t's samplers make from then on. The vectors
// are in a file in o.Dir whose name is a hash of all that they depend on, mapped into memory. A call that was interrupted
// leaves what it has, and the next one goes on from there.
func (s *Set) Teach(ctx context.Context, t *Tokens, o TeachOptions) error {
	if o.Dim < 1 {
		return fmt.Errorf("teach: the teacher's vectors have %d features", o.Dim)
	}
	key := t.teacherKey(o)
	path := filepath.Join(o.Dir, "teacher-"+hex.EncodeToString(key[:16])+".bin")
	v, err := openVectors(path, key, o.Dim, len(t.texts))
	if err == nil {
		t.teacher = v
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) && o.Warn != nil {
		o.Warn(fmt.Sprintf("the teacher's vectors %q cannot be used and are computed anew: %v", path, err))
	}
	if err := os.MkdirAll(o.Dir, 0o777); err != nil {
		return fmt.Errorf("teach: make the folder of vectors: %w", err)
	}
	if err := s.writeVectors(ctx, t, o, key, path); err != nil {
		return fmt.Errorf("teach: %w", err)
	}
	if t.teacher, err = openVectors(path, key, o.Dim, len(t.texts)); err != nil {
		return fmt.Errorf("teach: open %q, just written: %w", path, err)
	}
	return nil
}

// teacherKey is the SHA-256 of all that the vectors, and their order, depend on.
func (t *Tokens) teacherKey(o TeachOptions) [32]byte {
	h := sha256.New()
	h.Write(t.key[:])
	for _, text := range []string{o.Key, o.QueryPrompt, o.PassagePrompt} {
		binary.Write(h, binary.LittleEndian, int64(len(text)))
		io.WriteString(h, text)
	}
	binary.Write(h, binary.LittleEndian, []int64{int64(o.Dim), int64(o.QueryLength), int64(o.PassageLength)})
	return [32]byte(h.Sum(nil))
}

// writeVectors makes the file at path. Until it is complete it has another name, under which one process at a time
// writes.
func (s *Set) writeVectors(ctx context.Context, t *Tokens, o TeachOptions, key [32]byte, path string) (err error) {
	partial := path + ".partial"
	f, err := os.OpenFile(partial, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ignoreClosed(f.Close())) }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("wait for %q: %w", partial, err)
	}
	if v, err := openVectors(path, key, o.Dim, len(t.texts)); err == nil {
		return v.close() // another process completed it meanwhile
	}
	w := &vectorWriter{file: f, header: vectorHeader{Magic: vectorMagic, Key: key, Dim: uint32(o.Dim), Texts: uint64(len(t.texts))}}
	done, err := w.begin()
	if err != nil {
		return err
	}
	if err := s.encodeFrom(ctx, t, o, done, w); err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		return err
	}
	return errors.Join(os.Rename(partial, path), f.Close())
}

// encodeFrom encodes the texts whose number is first or more.
func (s *Set) encodeFrom(ctx context.Context, t *Tokens, o TeachOptions, first int, w *vectorWriter) (err error) {
	if first == len(t.texts) {
		return nil
	}
	teacher, err := o.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, teacher.Close()) }()
	window, number := make([]taughtText, 0, teachWindow), 0
	flush := func() error {
		data, err := o.encode(ctx, teacher, window)
		if err != nil {
			return err
		}
		if err := w.add(data); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(number, len(t.texts))
		}
		window = window[:0]
		return nil
	}
	for text, err := range s.textsOf(ctx, t, o) {
		if err != nil {
			return err
		}
		if number++; number <= first {
			continue
		}
		if window = append(window, text); len(window) == teachWindow {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if number != len(t.texts) {
		return fmt.Errorf("the rows have %d texts, %d were tokenized", number, len(t.texts))
	}
	if len(window) > 0 {
		return flush()
	}
	return nil
}

// taughtText is a text as the teacher reads it.
type taughtText struct {
	Asked
	text string
}

// textsOf yields each text once, in the order of their numbers: that in which the rows have them.
func (s *Set) textsOf(ctx context.Context, t *Tokens, o TeachOptions) iter.Seq2[taughtText, error] {
	return func(yield func(taughtText, error) bool) {
		i, next := 0, uint32(0)
		isNew := func(number uint32) bool {
			if number != next {
				return false
			}
			next++
			return true
		}
		for row, err := range s.Rows(ctx) {
			if err != nil {
				yield(taughtText{}, err)
				return
			}
			r := t.rows[i]
			i++
			if isNew(r.Query) && !yield(o.query(&row), nil) {
				return
			}
			for _, texts := range [][]string{row.Pos, row.Neg} {
				for _, text := range texts {
					number := t.passages[r.Passages]
					r.Passages++
					if isNew(number) && !yield(taughtText{o.passage(), text}, nil) {
						return
					}
				}
			}
		}
	}
}

// query is a row's query, or the text that it is.
func (o TeachOptions) query(row *Row) taughtText {
	switch {
	case row.Text:
		return taughtText{o.passage(), row.Query}
	case row.Prompt != nil:
		return taughtText{Asked{true, *row.Prompt, o.QueryLength}, row.Query}
	}
	return taughtText{Asked{true, o.QueryPrompt, o.QueryLength}, row.Query}
}

func (o TeachOptions) passage() Asked { return Asked{false, o.PassagePrompt, o.PassageLength} }

// encode gives the texts' vectors in their order.
func (o TeachOptions) encode(ctx context.Context, teacher Teacher, texts []taughtText) ([]float32, error) {
	out := make([]float32, len(texts)*o.Dim)
	var order []Asked
	alike := make(map[Asked][]int)
	for i, t := range texts {
		if alike[t.Asked] == nil {
			order = append(order, t.Asked)
		}
		alike[t.Asked] = append(alike[t.Asked], i)
	}
	for _, asked := range order {
		at := alike[asked]
		some := make([]string, len(at))
		for i, n := range at {
			some[i] = texts[n].text
		}
		data, err := teacher.Encode(ctx, some, asked)
		if err != nil {
			return nil, err
		}
		if len(data) != len(some)*o.Dim {
			return nil, fmt.Errorf("the teacher gave %d numbers for %d texts, want vectors of %d", len(data), len(some), o.Dim)
		}
		for i, number := range data {
			if math.IsNaN(float64(number)) || math.IsInf(float64(number), 0) {
				return nil, fmt.Errorf("the teacher's vector of the text %.60q has a %v in it", some[i/o.Dim], number)
			}
		}
		for i, n := range at {
			copy(out[n*o.Dim:(n+1)*o.Dim], data[i*o.Dim:])
		}
	}
	return out, nil
}

// vectorWriter writes vectors window by window.
type vectorWriter struct {
	file   *os.File
	header vectorHeader
}

// begin finds how many texts the file holds already: all but the last window, which may be half written. A file of
// something else is emptied.
func (w *vectorWriter) begin() (texts int, err error) {
	size, err := w.file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	start := make([]byte, vectorHeaderSize)
	_, err = w.file.ReadAt(start, 0)
	if err == nil && string(start) == string(w.header.bytes()) {
		windows := (size - int64(vectorHeaderSize)) / (teachWindow * 4 * int64(w.header.Dim))
		texts = teachWindow * int(max(0, windows-1))
	}
	end := int64(vectorHeaderSize) + int64(texts)*4*int64(w.header.Dim)
	if _, err := w.file.WriteAt(w.header.bytes(), 0); err != nil {
		return 0, err
	}
	if err := w.file.Truncate(end); err != nil {
		return 0, err
	}
	_, err = w.file.Seek(end, io.SeekStart)
	return texts, err
}

// add appends a window, and has it on the disk before the next one.
func (w *vectorWriter) add(data []float32) error {
	if _, err := w.file.Write(sectionBytes(data)); err != nil {
		return err
	}
	return w.file.Sync()
}

// finish puts the checksum into the header.
func (w *vectorWriter) finish() error {
	if _, err := w.file.Seek(int64(vectorHeaderSize), io.SeekStart); err != nil {
		return err
	}
	sum := crc32.New(crcTable)
	if _, err := io.Copy(sum, w.file); err != nil {
		return err
	}
	w.header.Checksum = sum.Sum32()
	if _, err := w.file.WriteAt(w.header.bytes(), 0); err != nil {
		return err
	}
	return w.file.Sync()
}
