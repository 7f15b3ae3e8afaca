// Package onnx reads and writes graph.Model as ONNX files.
//
// Nothing is lost: what the IR does not model (training info, sparse initializers,
// quantization annotations, device configurations, fields newer than IR version 13, optional
// fields that are present but empty) is kept as wire bytes in the Extra fields and written
// back. Each Extra is a partial message of the kind that its owner is written as.
//
// Two things are made uniform: the elements of numeric tensors are held and written as
// raw_data, whichever field they came in, and the data of large initializers stays in the
// file, and is copied from there to the next, so that a model larger than memory can be
// read, changed and written.
//
// Stages of reading: split.go takes the file apart, decode.go, attr.go, tensor.go and valuetype.go turn
// messages into the IR, external.go finds data in other files, format.go says where a
// damaged file is damaged. Stages of writing: encode.go, layout.go, write.go.
package onnx

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"graft/graph"
)

// Read reads the model file called path. Tensors in external files are found in its folder
// and may not leave it. The data of large tensors stays on disk: the files are held open for
// as long as a tensor of the model refers to them.
func Read(path string) (*graph.Model, error) {
	m, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read model %q: %w", path, err)
	}
	return m, nil
}

func readFile(path string) (*graph.Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	stat, err := f.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, cause(err)
	}
	m, open, err := decode(f, stat.Size(), &folder{dir: filepath.Dir(path)})
	if !open { // else f closes itself when no tensor refers to it any more
		f.Close()
	}
	return m, err
}

// Decode reads a model of size bytes from r. The data of large tensors stays in r, which has
// to stay readable as long as the model is used. External data is an error.
func Decode(r io.ReaderAt, size int64) (*graph.Model, error) {
	m, _, err := decode(r, size, nil)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	return m, nil
}

// DecodeBytes reads a model from memory; its large tensors alias b.
func DecodeBytes(b []byte) (*graph.Model, error) {
	return Decode(bytes.NewReader(b), int64(len(b)))
}

// decode reads a model from r, or says where r is no model. It reports whether tensors of the
// model refer to r.
func decode(r io.ReaderAt, size int64, files *folder) (m *graph.Model, open bool, err error) {
	if size == 0 {
		return nil, false, &FormatError{Problem: "the file is empty"}
	}
	p, err := split(r, size)
	if err != nil {
		if at := diagnose(r, size); at != nil {
			return nil, false, at
		}
		return nil, false, err
	}
	m, err = (&decoder{src: r, files: files}).model(p)
	return m, err == nil && slices.ContainsFunc(p.initializers, func(d region) bool { return d.length > 0 }), err
}

// cause drops operation and path from a file error where the caller names them already.
func cause(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}
