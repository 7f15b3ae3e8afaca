// Package lines reads the lines of text files, packed or not, and JSON in them, and says where in them an error is.
package lines

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
)

// maxLine bounds one line, so that a file without line ends cannot take all memory: 256 MiB.
const maxLine = 256 << 20

// Error is an error at a line of a file.
type Error struct {
	File string
	Line int // from 1; 0 where the error is of the file
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// At is an error at a line of a file.
func At(file string, line int, err error) error { return &Error{file, line, err} }

// In is an error of a whole file, without the repetition of its name that os gives; one that names the file already stays.
func In(file string, err error) error {
	var named *Error
	if errors.As(err, &named) && named.File == file {
		return err
	}
	return &Error{File: file, Err: unnamed(err)}
}

// unnamed is an error without the file's name that os puts before it.
func unnamed(err error) error {
	var p *os.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

// Line is one line of a file, without its end.
type Line struct {
	Number int    // from 1
	Text   []byte // valid until the next line is read
}

// Blank says whether the line holds nothing but white space.
func (l Line) Blank() bool { return len(bytes.TrimSpace(l.Text)) == 0 }

// Read yields the lines of a file, unpacking it where its name ends in .gz, and copies the file's bytes as they are on
// disk to raw, where that is not nil. A byte order mark and carriage returns before line ends are dropped. An error is
// an *Error and the last thing that it yields.
func Read(path string, raw io.Writer) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(Line{}, In(path, err))
			return
		}
		defer f.Close()
		var r io.Reader = f
		if raw != nil {
			r = io.TeeReader(f, raw)
		}
		if strings.HasSuffix(path, ".gz") {
			if r, err = gzip.NewReader(r); err != nil {
				yield(Line{}, In(path, err))
				return
			}
		}
		for l, err := range Of(r, path) {
			if !yield(l, err) {
				return
			}
		}
	}
}

// Of yields the lines of a reader as Read does those of a file; name stands for the file in errors.
func Of(r io.Reader, name string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		number := 0
		for text, err := range split(r) {
			number++
			if err != nil {
				yield(Line{}, At(name, number, unnamed(err)))
				return
			}
			if number == 1 {
				text = bytes.TrimPrefix(text, []byte("\ufeff"))
			}
			if !yield(Line{number, text}, nil) {
				return
			}
		}
	}
}

// split yields what lies between line ends; the last line needs none.
func split(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		b := bufio.NewReaderSize(r, 1<<18)
		var long []byte
		for {
			part, err := b.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				if len(long)+len(part) > maxLine {
					yield(nil, fmt.Errorf("line is longer than %d MiB", maxLine>>20))
					return
				}
				long = append(long, part...)
				continue
			}
			if err != nil && err != io.EOF {
				yield(nil, err)
				return
			}
			if len(long) > 0 {
				long = append(long, part...)
				part = long
			}
			if err == io.EOF && len(part) == 0 {
				return
			}
			text := bytes.TrimSuffix(bytes.TrimSuffix(part, []byte("\n")), []byte("\r"))
			if !yield(text, nil) || err == io.EOF {
				return
			}
			long = long[:0]
		}
	}
}
