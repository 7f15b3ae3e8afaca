// Package safetensors reads and writes checkpoints in the safetensors format
// (https://huggingface.co/docs/safetensors), in one file or in shards behind
// a model.safetensors.index.json.
//
// A file is 8 bytes of header length, a JSON header and the tensors'
// row-major little-endian bytes. Nothing that the header claims is trusted:
// every offset and every shape is checked against the file's real size when
// it is opened.
//
// Tensors are read either through Open, ReadAt and WriteTo, which copy from
// the file and keep the process small however large the file is, or through
// Bytes, which maps the file: without a copy, but pages that were touched
// count as resident memory until Release.
package safetensors

import (
	"errors"
	"fmt"

	"graft/convert/shards"
)

// The names under which a model directory keeps its weights.
const (
	FileName  = "model.safetensors"
	IndexName = "model.safetensors.index.json"
)

// Checkpoint is an open set of named tensors, from one file or from several
// shards. It is safe for concurrent use; Close ends the life of its tensors.
type Checkpoint struct {
	Tensors  []*Tensor         // in the order of their data, shard after shard
	Metadata map[string]string // the __metadata__ of the first file that has one

	byName map[string]*Tensor
	files  []*file
}

// Open opens a checkpoint: a .safetensors file, an index of shards (a path
// that ends in .json), or a directory that holds model.safetensors or
// model.safetensors.index.json. The error wraps fs.ErrNotExist where there is no
// such file or the directory has neither, but not where a shard is missing.
func Open(path string) (*Checkpoint, error) {
	c, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return c, nil
}

func open(path string) (*Checkpoint, error) {
	c := &Checkpoint{byName: make(map[string]*Tensor)}
	if err := shards.Open(path, shards.Names{File: FileName, Index: IndexName}, c.addFile); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Checkpoint) addFile(path string, take func(tensor string) bool) error {
	f, h, err := openFile(path)
	if err != nil {
		return err
	}
	c.files = append(c.files, f)
	if c.Metadata == nil {
		c.Metadata = h.metadata
	}
	for _, t := range h.tensors {
		if take(t.Name) {
			c.addTensor(t)
		}
	}
	return nil
}

func (c *Checkpoint) addTensor(t *Tensor) {
	c.Tensors = append(c.Tensors, t)
	c.byName[t.Name] = t
}

// Tensor returns the tensor of that name, or nil if the checkpoint has none.
func (c *Checkpoint) Tensor(name string) *Tensor { return c.byName[name] }

// Close closes and unmaps the files. Slices that Bytes returned must not be
// used any more; readers fail from here on.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
