package evaluate

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

// maxLine bounds one line of a data file, so that a file without line ends cannot
// take all memory: 256 MiB.
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

// readLines yields the lines of a file, unpacking it where its name ends in .gz. A byte
// order mark and carriage returns before line ends are dropped.
func readLines(path string) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		f, err := openData(path)
		if err != nil {
			yield(line{}, err)
			return
		}
		defer f.Close()
		number := 0
		for text, err := range splitLines(f) {
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

// openData opens a file for reading, unpacked where its name ends in .gz.
func openData(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(path, ".gz") {
		return f, nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, &LineError{File: path, Err: err}
	}
	return &gzipFile{z, f}, nil
}

type gzipFile struct {
	*gzip.Reader
	file *os.File
}

func (g *gzipFile) Close() error { return errors.Join(g.Reader.Close(), g.file.Close()) }

// readTSV yields the tab-separated fields of a file's lines. Quotes mean nothing;
// blank lines are skipped.
func readTSV(path string) iter.Seq2[tsvRow, error] {
	return func(yield func(tsvRow, error) bool) {
		for l, err := range readLines(path) {
			if err != nil {
				yield(tsvRow{}, err)
				return
			}
			if len(bytes.TrimSpace(l.text)) == 0 {
				continue
			}
			if !yield(tsvRow{l.number, strings.Split(string(l.text), "\t")}, nil) {
				return
			}
		}
	}
}

type tsvRow struct {
	line   int
	fields []string
}
