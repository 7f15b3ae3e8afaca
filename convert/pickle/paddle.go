package pickle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nlpodyssey/gopickle/types"

	"graft/convert/shards"
)

// The names under which PaddleNLP keeps a model's weights: in one file, or in shards behind an index.
const (
	PaddleFileName  = "model_state.pdparams"
	PaddleIndexName = "model_state.pdparams.index.json"
)

// paddleOutside is the length from which an array's data stays in the file.
const paddleOutside = 4 << 10

// paddleSliced is the key under which paddle.save notes that it wrote arrays of a GiB in slices, in protocols 2 and 3.
const paddleSliced = "UnpackBigParamInfor@@"

// OpenPaddle opens what paddle.save wrote: a file, an index of shards (a path
// that ends in .json), or a directory that holds model_state.pdparams or its
// index. A file is one pickle of a dict, name to numpy array, of protocol 2
// (paddle 2.0) to 4. bfloat16 comes as paddle keeps it in numpy: as 16-bit
// integers. No code of the file runs: it may name only what rebuilds numpy
// arrays. Their data stays in the files.
func OpenPaddle(path string) (*Checkpoint, error) {
	c := &Checkpoint{byName: make(map[string]*Tensor)}
	err := shards.Open(path, shards.Names{File: PaddleFileName, Index: PaddleIndexName}, c.addPaddle)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %q: %w", path, err), c.Close())
	}
	return c, nil
}

func (c *Checkpoint) addPaddle(path string, take func(tensor string) bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	c.files = append(c.files, f)
	tensors, err := readPaddle(f)
	if err != nil {
		return err
	}
	for _, t := range tensors {
		if take(t.Name) {
			c.addTensor(t)
		}
	}
	return nil
}

// readPaddle lists the arrays of one file.
func readPaddle(f *os.File) ([]*Tensor, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var first [1]byte
	if _, err := f.ReadAt(first[:], 0); err != nil || first[0] != 0x80 {
		return nil, errors.New("not a file of paddle.save: it is no pickle")
	}
	section := io.NewSectionReader(f, 0, info.Size())
	s := newScanner(section)
	s.outside, s.file = paddleOutside, section
	data, err := s.next()
	if err != nil {
		return nil, err
	}
	arrays := &numpyArrays{file: f, scanner: s}
	object, err := unpickle(data, arrays.global, nil)
	if err != nil {
		return nil, err
	}
	entries, ok := dictEntries(object)
	if !ok {
		return nil, fmt.Errorf("file holds a %T, not a dict of arrays", object)
	}
	var tensors []*Tensor
	seen := make(map[string]bool)
	for _, e := range entries {
		name, isName := e.key.(string)
		if name == paddleSliced {
			return nil, errors.New("large arrays are in slices (protocol 2 or 3); load the file in paddle and save it with protocol 4")
		}
		t, err := arrays.tensor(e.value)
		if err != nil {
			return nil, fmt.Errorf("array %q: %w", name, err)
		}
		if !isName || t == nil {
			continue // StructuredToParameterName@@, and what optimizers keep
		}
		if seen[name] {
			return nil, fmt.Errorf("file holds the array %q twice", name)
		}
		t.Name, seen[name] = name, true
		tensors = append(tensors, t)
	}
	if len(tensors) == 0 {
		return nil, errors.New("file holds no arrays by name")
	}
	return tensors, nil
}

// numpyArrays rebuilds the arrays of one file.
type numpyArrays struct {
	file    *os.File
	scanner *scanner
}

// global is what a file of paddle.save may name: what numpy pickles its arrays as.
func (a *numpyArrays) global(module, name string) (any, error) {
	switch module + "." + name {
	case "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct":
		return function(func([]any) (any, error) { return &ndarray{}, nil }), nil
	case "numpy.ndarray":
		return dtypeValue(""), nil // only ever an argument of _reconstruct
	case "numpy.dtype":
		return function(newNumpyType), nil
	case "_codecs.encode":
		return function(encodeLatin1), nil
	}
	return nil, fmt.Errorf("refuses to call %q: a checkpoint of arrays has no need of it", module+"."+name)
}

// numpyTypes are numpy's codes of element types. paddle has no other use of 16-bit unsigned integers than bfloat16.
var numpyTypes = map[string]string{
	"f2": "F16", "f4": "F32", "f8": "F64", "u2": "BF16", "b1": "BOOL",
	"i1": "I8", "u1": "U8", "i2": "I16", "i4": "I32", "i8": "I64",
}

// numpyType is numpy.dtype(code, align, copy), whose state says the byte order.
type numpyType struct{ dtype string }

func newNumpyType(args []any) (any, error) {
	if len(args) < 1 {
		return nil, errors.New("numpy.dtype: no arguments")
	}
	code, _ := args[0].(string)
	dtype, ok := numpyTypes[code]
	if !ok {
		return nil, fmt.Errorf("numpy.dtype: element type %q is not supported", args[0])
	}
	return &numpyType{dtype}, nil
}

// PySetState takes (version, byte order, …).
func (t *numpyType) PySetState(state any) error {
	items, ok := sequence(state)
	if !ok || len(items) < 2 {
		return errors.New("numpy.dtype: malformed state")
	}
	if items[1] != "<" && items[1] != "|" {
		return fmt.Errorf("numpy.dtype: byte order %q, only little is supported", items[1])
	}
	return nil
}

// encodeLatin1 is _codecs.encode(text, "latin1"): how protocol 2 writes bytes. What stands for a region passes through.
func encodeLatin1(args []any) (any, error) {
	if len(args) != 2 || args[1] != "latin1" {
		return nil, fmt.Errorf("_codecs.encode: arguments %v", args)
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("_codecs.encode: %T where a text is due", args[0])
	}
	return io.ReadAll(&latin1{r: bytes.NewReader([]byte(text)), buf: make([]byte, len(text)+1)})
}

// ndarray is a numpy array: (version, shape, type, whether columns come first, data).
type ndarray struct{ state []any }

// PySetState keeps the state; tensor checks it.
func (n *ndarray) PySetState(state any) error {
	items, ok := sequence(state)
	if !ok || len(items) != 5 {
		return errors.New("numpy array: malformed state")
	}
	n.state = items
	return nil
}

// tensor is the tensor of an array, or of the (name, array) that some versions write; nil for other values.
func (a *numpyArrays) tensor(value any) (*Tensor, error) {
	if tuple, ok := value.(*types.Tuple); ok && tuple.Len() == 2 {
		value = tuple.Get(1)
	}
	array, ok := value.(*ndarray)
	if !ok {
		return nil, nil
	}
	if array.state == nil {
		return nil, errors.New("numpy array without a state")
	}
	kind, ok := array.state[2].(*numpyType)
	if !ok {
		return nil, fmt.Errorf("numpy array: %T where a type is due", array.state[2])
	}
	data, err := a.data(array.state[4])
	if err != nil {
		return nil, err
	}
	shape, err := integers(array.state[1])
	if err != nil {
		return nil, fmt.Errorf("numpy array: shape: %w", err)
	}
	stride := strides(shape, array.state[3] == true)
	v := &view{storage: data, dtype: kind.dtype, size: data.size}
	t, err := newTensor(v, kind.dtype, []any{0, tuple(shape), tuple(stride)})
	if err == nil && t.size != data.size {
		err = fmt.Errorf("numpy array: %s %v does not make its %d bytes", kind.dtype, shape, data.size)
	}
	return t, err
}

// data is where an array's bytes are: in the file or, a few of them, in the pickle.
func (a *numpyArrays) data(value any) (*storage, error) {
	b, ok := value.([]byte)
	if !ok {
		return nil, fmt.Errorf("numpy array: %T where bytes are due", value)
	}
	if r, ok := a.scanner.region(string(b)); ok {
		return r.storage(a.file), nil
	}
	return &storage{size: int64(len(b)), open: func(offset, size int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b[offset : offset+size])), nil
	}}, nil
}

// strides are those of a whole array in elements; columns: the first dimension runs fastest.
func strides(shape []int64, columns bool) []int64 {
	out := make([]int64, len(shape))
	next := int64(1)
	for i := range shape {
		at := len(shape) - 1 - i
		if columns {
			at = i
		}
		out[at] = next
		if grown, ok := product(next, max(1, shape[at])); ok {
			next = grown
		}
	}
	return out
}

// tuple is a Python tuple of integers.
func tuple(values []int64) *types.Tuple {
	t := make(types.Tuple, len(values))
	for i, v := range values {
		t[i] = int(v)
	}
	return &t
}
