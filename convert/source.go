package convert

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"graft/convert/pickle"
	"graft/convert/safetensors"
	"graft/convert/shards"
	"graft/graph"
)

// source is what a checkpoint holds: its tensors by name, their bytes still in the files.
type source struct {
	tensors map[string]*graph.Tensor
	raw     map[string]rawTensor // the same as they are stored
	format  string               // "safetensors" or "pickle"
	files   []string             // of a safetensors checkpoint, by their names in the directory
	io.Closer
}

// rawTensor is a tensor as it is stored, with its element type by its name in safetensors.
type rawTensor struct {
	stored
	dtype string
}

// stored is a tensor in a checkpoint of either format.
type stored interface {
	Size() int64
	Open() (io.ReadCloser, error)
	WriteTo(io.Writer) (int64, error)
}

// openSource opens the checkpoint of a model directory: safetensors where there is one, else a
// PyTorch pickle. The error wraps fs.ErrNotExist where there is neither.
func openSource(dir string) (*source, error) {
	s, err := openTensors(dir, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no weights: the directory has none of %q: %w", checkpointFiles, fs.ErrNotExist)
	}
	if err == nil && s.format == "safetensors" {
		if s.files, err = safetensorsFiles(dir); err != nil {
			s.Close()
		}
	}
	return s, err
}

// openTensors opens the safetensors checkpoint at one path or, where there is none, the pickle at the other.
func openTensors(safe, pickled string) (*source, error) {
	s := &source{tensors: map[string]*graph.Tensor{}, raw: map[string]rawTensor{}}
	c, err := safetensors.Open(safe)
	if err == nil {
		s.format, s.Closer = "safetensors", c
		for _, t := range c.Tensors {
			err = errors.Join(err, s.add(t.Name, t.DType, t.Shape, t))
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		var p *pickle.Checkpoint
		if p, err = pickle.Open(pickled); err == nil {
			s.format, s.Closer = "pickle", p
			for _, t := range p.Tensors {
				err = errors.Join(err, s.add(t.Name, t.DType, t.Shape, t))
			}
		}
	}
	if err != nil {
		if s.Closer != nil {
			s.Close()
		}
		return nil, err
	}
	return s, nil
}

// names are those of all tensors, sorted.
func (s *source) names() []string { return slices.Sorted(maps.Keys(s.tensors)) }

// elementTypes are the checkpoint types that a graph takes, by their names in safetensors, and
// what they become: all floating-point weights are float32 in a graph.
var elementTypes = map[string]struct{ from, to graph.DType }{
	safetensors.F32:  {graph.Float, graph.Float},
	safetensors.F16:  {graph.Float16, graph.Float},
	safetensors.BF16: {graph.BFloat16, graph.Float},
	safetensors.F64:  {graph.Double, graph.Float},
	safetensors.I64:  {graph.Int64, graph.Int64},
	safetensors.I32:  {graph.Int32, graph.Int32},
	safetensors.I16:  {graph.Int16, graph.Int16},
	safetensors.I8:   {graph.Int8, graph.Int8},
	safetensors.U8:   {graph.Uint8, graph.Uint8},
	safetensors.BOOL: {graph.Bool, graph.Bool},
}

// add lists a tensor of one of elementTypes.
func (s *source) add(name, dtype string, shape []int64, t stored) error {
	kind, ok := elementTypes[dtype]
	if !ok {
		return fmt.Errorf("tensor %q: element type %s is not known", name, dtype)
	}
	s.put(&graph.Tensor{Name: name, DType: kind.from, Shape: append([]int64{}, shape...), Data: storedData{t}}, dtype)
	return nil
}

// put lists a tensor in its element type, whose name in safetensors is dtype: as it is stored, or made of such.
func (s *source) put(t *graph.Tensor, dtype string) {
	raw := rawTensor{computed{t.Data}, dtype}
	if d, ok := t.Data.(storedData); ok {
		raw.stored = d.stored
	}
	s.tensors[t.Name], s.raw[t.Name] = graph.Convert(t, elementTypes[dtype].to), raw
}

// computed is what a graph's data makes of stored tensors, to be written as one.
type computed struct{ graph.Data }

// Open reads the data as it is computed.
func (c computed) Open() (io.ReadCloser, error) {
	r, w := io.Pipe()
	go func() {
		_, err := c.WriteTo(w)
		w.CloseWithError(err)
	}()
	return r, nil
}

// storedData is a checkpoint's tensor as the data of a graph's. Bytes are read into memory of their
// own, not mapped: pages of a mapped file would count as the process's until the last weight.
type storedData struct{ stored }

func (d storedData) Bytes() ([]byte, error) {
	r, err := d.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, d.Size())
	_, err = io.ReadFull(r, b)
	return b, err
}

// checkpointFiles are the files that make a directory one with a checkpoint.
var checkpointFiles = []string{safetensors.FileName, safetensors.IndexName, pickle.FileName, pickle.IndexName}

// safetensorsFiles are the files of a safetensors checkpoint: one, or an index and its shards.
func safetensorsFiles(dir string) ([]string, error) {
	if exists(filepath.Join(dir, safetensors.FileName)) {
		return []string{safetensors.FileName}, nil
	}
	files, err := shards.ReadIndex(filepath.Join(dir, safetensors.IndexName))
	if err != nil {
		return nil, err
	}
	return append([]string{safetensors.IndexName}, slices.Sorted(maps.Keys(files))...), nil
}
