// Package pickle reads checkpoints that torch.save wrote (pytorch_model.bin):
// the zip format, the format before torch 1.6, and shards behind a
// pytorch_model.bin.index.json.
//
// Such files are Python pickles, programs for a small machine that can call
// any Python function. Here no code of the file runs: a pickle may name only
// what the globals table lists, which rebuilds tensors, and a file that names
// anything else is refused with that name. Lengths and offsets are checked
// against the file's real size before anything is allocated.
package pickle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"graft/convert/shards"
)

// The names under which a model directory keeps its weights.
const (
	FileName  = "pytorch_model.bin"
	IndexName = "pytorch_model.bin.index.json"
)

// Checkpoint is an open set of named tensors, from one file or from several
// shards. It is safe for concurrent use; Close ends the life of its tensors.
type Checkpoint struct {
	Tensors []*Tensor // in the order of the state dict, shard after shard

	byName map[string]*Tensor
	files  []*os.File
}

// Open opens a checkpoint: a file of torch.save, an index of shards (a path
// that ends in .json), or a directory that holds pytorch_model.bin or
// pytorch_model.bin.index.json. The error wraps fs.ErrNotExist where there is
// no such file or the directory has neither, but not where a shard is missing.
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
	f, tensors, err := openFile(path)
	if err != nil {
		return err
	}
	c.files = append(c.files, f)
	for _, t := range tensors {
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

// Close closes the files; readers fail from here on.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// openFile opens one file and lists the tensors of its state dict.
func openFile(path string) (*os.File, []*Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	var tensors []*Tensor
	object, err := readObject(f)
	if err == nil {
		tensors, err = stateDict(object)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, tensors, nil
}

// readObject returns the object that torch.save was given, its tensors as
// *Tensor without names.
func readObject(f *os.File) (any, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	start := make([]byte, 512)
	n, err := f.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head := string(start[:n])
	switch {
	case strings.HasPrefix(head, "PK\x03\x04"):
		return readArchive(f, info.Size())
	case strings.HasPrefix(head, "version https://git-lfs"):
		return nil, errors.New("file is a Git LFS pointer, not the weights themselves")
	case n > 262 && head[257:262] == "ustar":
		return nil, errors.New("file is in the tar format of torch before 0.2, which is not supported")
	}
	return readLegacy(f, info.Size())
}

// wrappers are the keys under which training frameworks nest the state dict.
var wrappers = []string{"state_dict", "model_state_dict", "model", "module"}

// stateDict lists the tensors of a dict by name, or of the dict that it wraps.
// Values of other kinds, such as a count of steps, are left out.
func stateDict(object any) ([]*Tensor, error) {
	for range len(wrappers) { // a hostile dict may hold itself
		entries, ok := dictEntries(object)
		if !ok {
			return nil, fmt.Errorf("file holds a %T, not a dict of tensors", object)
		}
		tensors, others, err := namedTensors(entries)
		if err != nil || len(tensors) > 0 {
			return tensors, err
		}
		wrapped := slices.IndexFunc(wrappers, func(key string) bool { return others[key] != nil })
		if wrapped < 0 {
			break
		}
		object = others[wrappers[wrapped]]
	}
	return nil, errors.New("file holds no tensors by name")
}

// namedTensors splits the items of a dict into tensors, which get their names,
// and others.
func namedTensors(entries []entry) ([]*Tensor, map[string]any, error) {
	var tensors []*Tensor
	others := make(map[string]any)
	seen := make(map[string]bool)
	for _, e := range entries {
		name, ok := e.key.(string)
		if !ok {
			continue
		}
		if seen[name] {
			return nil, nil, fmt.Errorf("state dict holds %q twice", name)
		}
		seen[name] = true
		if t, ok := e.value.(*Tensor); ok {
			named := *t
			named.Name = name
			tensors = append(tensors, &named)
		} else {
			others[name] = e.value
		}
	}
	return tensors, others, nil
}
