package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"strings"
)

// maxLine bounds one line of a data file, so that a file without line ends cannot take all memory: 256 MiB.
const maxLine = 256 << 20

// LineError is an error at a line of a data file.
type LineError struct {
	File string
	Line int // from 1; 0 where the error is of the file
	Err  error
}

func (e *LineError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *LineError) Unwrap() error { return e.Err }

// line is one line of a file, without its end. text is valid until the next one.
type line struct {
	number int
	text   []byte
}

func (l line) blank() bool { return len(bytes.TrimSpace(l.text)) == 0 }

// readLines yields the lines of a file, unpacking it where its name ends in .gz, and adds the file's bytes as they are
// on disk to sum. A byte order mark and carriage returns before line ends are dropped. An error is the last thing it
// yields.
func readLines(path string, sum hash.Hash) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(line{}, fileError(path, err))
			return
		}
		defer f.Close()
		packed := io.TeeReader(f, sum)
		r := packed
		if strings.HasSuffix(path, ".gz") {
			if r, err = gzip.NewReader(packed); err != nil {
				yield(line{}, fileError(path, err))
				return
			}
		}
		number := 0
		for text, err := range splitLines(r) {
			number++
			if err != nil {
				yield(line{}, &LineError{path, number, err})
				return
			}
			if number == 1 {
				text = bytes.TrimPrefix(text, []byte("\ufeff"))
			}
			if !yield(line{number, text}, nil) {
				return
			}
		}
	}
}

// fileError is an error of a whole file, without the repetition of its name that os gives.
func fileError(path string, err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &LineError{File: path, Err: err}
}

// splitLines yields what lies between line ends; the last line needs none.
func splitLines(r io.Reader) iter.Seq2[[]byte, error] {
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
