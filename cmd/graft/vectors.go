package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"graft/lines"
)

// vectorWriter writes vectors as they come; nothing is at the output's path before finish.
type vectorWriter interface {
	write(text string, vector []float32) error
	finish() error
}

// vectorFormats are what embed writes, by the output's extension.
var vectorFormats = map[string]func(w *os.File, dim int) vectorWriter{
	".jsonl":   func(w *os.File, _ int) vectorWriter { return newJSONVectors(w) },
	".npy":     func(w *os.File, dim int) vectorWriter { return &npyVectors{file: w, buf: bufio.NewWriter(w), dim: dim} },
	".parquet": func(w *os.File, _ int) vectorWriter { return newParquetVectors(w) },
}

// outputVectors writes to a temporary sibling of path that takes its place in finish. "-" is
// standard output, as lines of JSON.
type outputVectors struct {
	vectorWriter
	file *os.File
	path string
}

// checkVectorOutput refuses a path that newOutputVectors could not write, before work begins.
func checkVectorOutput(path string) error {
	if path == "-" {
		return nil
	}
	if _, ok := vectorFormats[filepath.Ext(path)]; !ok {
		known := []string{}
		for ext := range vectorFormats {
			known = append(known, ext)
		}
		slices.Sort(known)
		return usagef("embed: output %q: unknown extension, want %s or -", path, strings.Join(known, ", "))
	}
	return nil
}

func newOutputVectors(path string, dim int, stdout io.Writer) (*outputVectors, error) {
	if path == "-" {
		return &outputVectors{vectorWriter: newJSONVectors(stdout)}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, fmt.Errorf("write vectors: %w", lines.In(path, err))
	}
	return &outputVectors{vectorFormats[filepath.Ext(path)](f, dim), f, path}, nil
}

func (o *outputVectors) finish() error {
	err := o.vectorWriter.finish()
	if o.file == nil && err == nil {
		return nil
	}
	if o.file == nil {
		return fmt.Errorf("write vectors: %w", err)
	}
	if err == nil {
		err = o.file.Chmod(0o644)
	}
	if closed := o.file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(o.file.Name(), o.path)
	}
	if err != nil {
		os.Remove(o.file.Name())
		return fmt.Errorf("write vectors: %w", lines.In(o.path, err))
	}
	return nil
}

// abandon removes what was written so far.
func (o *outputVectors) abandon() {
	if o.file != nil {
		o.file.Close()
		os.Remove(o.file.Name())
	}
}

type jsonVectors struct {
	buf *bufio.Writer
	enc *json.Encoder
}

func newJSONVectors(w io.Writer) *jsonVectors {
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	return &jsonVectors{buf, enc}
}

// vectorRow is a line of .jsonl and a row of .parquet.
type vectorRow struct {
	Text      string    `json:"text" parquet:"text"`
	Embedding []float32 `json:"embedding" parquet:"embedding,list"`
}

func (j *jsonVectors) write(text string, v []float32) error { return j.enc.Encode(vectorRow{text, v}) }
func (j *jsonVectors) finish() error                        { return j.buf.Flush() }

type parquetVectors struct {
	w *parquet.GenericWriter[vectorRow]
}

func newParquetVectors(w io.Writer) *parquetVectors {
	return &parquetVectors{parquet.NewGenericWriter[vectorRow](w, parquet.Compression(&parquet.Zstd))}
}

func (p *parquetVectors) write(text string, v []float32) error {
	_, err := p.w.Write([]vectorRow{{text, v}})
	return err
}

func (p *parquetVectors) finish() error { return p.w.Close() }

// npyVectors writes NumPy's format 1.0 (numpy.lib.format): float32 [texts, dim]. How many texts
// there are is known at the end, so the header is written last into space kept for it.
type npyVectors struct {
	file *os.File
	buf  *bufio.Writer
	dim  int
	rows int
}

const npyHeader = 128

func (n *npyVectors) write(_ string, v []float32) error {
	if n.rows == 0 {
		if _, err := n.buf.Write(make([]byte, npyHeader)); err != nil {
			return err
		}
	}
	n.rows++
	var b [4]byte
	for _, f := range v {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(f))
		if _, err := n.buf.Write(b[:]); err != nil {
			return err
		}
	}
	return nil
}

func (n *npyVectors) finish() error {
	if err := n.buf.Flush(); err != nil {
		return err
	}
	dict := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", n.rows, n.dim)
	head := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(head[8:], npyHeader-10)
	head = append(head, dict...)
	for len(head) < npyHeader-1 {
		head = append(head, ' ')
	}
	_, err := n.file.WriteAt(append(head, '\n'), 0)
	return err
}
