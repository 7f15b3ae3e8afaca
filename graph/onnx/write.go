package onnx

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"graft/graph"
)

// Options says how a model is written. The zero Options are the defaults.
type Options struct {
	// External puts initializers of 1 KiB and more into a file of their own beside the model.
	External bool
	// ExternalThreshold is the size in bytes of all initializers above which External is
	// implied; 0 is 1 GiB. A model that would reach 2 GiB is external in any case.
	ExternalThreshold int64
	// ExternalName is the name of that file, in the model's folder; "" is the model's name + ".data".
	ExternalName string
	// Align is what offsets in that file are multiples of; 0 is 4096, a page, which lets runtimes map it.
	Align int64
}

// Write writes m to the file called path, and its data to an external file as o says. Both are
// written to temporary siblings first and then take the place of older files, the data first;
// if anything fails before that, nothing has changed and nothing is left. A model may be
// written over the files that it was read from: its tensors go on reading the old ones.
func Write(path string, m *graph.Model, o Options) error {
	if err := write(path, m, o); err != nil {
		return fmt.Errorf("write model %q: %w", path, err)
	}
	return nil
}

func write(path string, m *graph.Model, o Options) (err error) {
	if stat, err := os.Stat(path); err == nil && !stat.Mode().IsRegular() {
		return fmt.Errorf("not a regular file")
	}
	l, data, err := o.plan(path, m)
	if err != nil {
		return err
	}
	if err := room(filepath.Dir(path), l.size+l.dataSize); err != nil {
		return err
	}
	type output struct{ temporary, final string }
	var outputs []output
	defer func() {
		for _, f := range outputs {
			os.Remove(f.temporary) // gone already where it was renamed
		}
	}()
	for _, f := range []struct {
		path  string
		write func(*os.File) error
	}{{data, l.writeData}, {path, func(f *os.File) error { return buffered(f, l.writeModel) }}} {
		if f.path == "" {
			continue
		}
		file, err := create(f.path)
		if err != nil {
			return cause(err)
		}
		outputs = append(outputs, output{file.Name(), f.path})
		if err := fill(file, f.write); err != nil {
			return err
		}
	}
	for _, f := range outputs {
		if err := os.Rename(f.temporary, f.final); err != nil {
			return err
		}
	}
	return nil
}

// plan lays m out and returns the path of the external file, "" where there is none.
func (o Options) plan(path string, m *graph.Model) (*layout, string, error) {
	base := filepath.Base(path)
	name, align, threshold := o.ExternalName, o.Align, o.ExternalThreshold
	if name == "" {
		name = base + ".data"
	}
	if name != filepath.Base(name) || !filepath.IsLocal(name) || name == base {
		return nil, "", fmt.Errorf("external data cannot be called %q", name)
	}
	if align <= 0 {
		align = 4096
	}
	if threshold <= 0 {
		threshold = 1 << 30
	}
	l, err := newLayout(m, "", align)
	if err != nil {
		return nil, "", err
	}
	if o.External || l.size > maxModel || l.inline() > threshold {
		if l, err = newLayout(m, name, align); err != nil {
			return nil, "", err
		}
	}
	if l.size > maxModel {
		return nil, "", fmt.Errorf("%d bytes without the initializers' data, which is more than protobuf allows (2 GiB)", l.size)
	}
	if l.dataSize == 0 {
		return l, "", nil
	}
	return l, filepath.Join(filepath.Dir(path), name), nil
}

// Encode writes m to w as one message, streaming the data of its initializers. Models from
// 2 GiB on need external data, and so Write.
func Encode(w io.Writer, m *graph.Model) error {
	l, err := newLayout(m, "", 1)
	if err == nil && l.size > maxModel {
		err = fmt.Errorf("%d bytes are more than protobuf allows (2 GiB): external data is needed", l.size)
	}
	if err == nil {
		err = buffered(w, l.writeModel)
	}
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return nil
}

// inline is the number of bytes of data that follow headers in the model file.
func (l *layout) inline() int64 {
	var n int64
	for _, s := range l.tensors {
		if s.data != nil && s.offset < 0 {
			n += s.data.Size()
		}
	}
	return n
}

func (l *layout) writeModel(w io.Writer) error {
	if _, err := w.Write(l.head); err != nil {
		return err
	}
	for _, s := range l.tensors {
		if _, err := w.Write(s.header); err != nil {
			return err
		}
		if s.data != nil && s.offset < 0 {
			if err := s.writeData(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// writers is the number of initializers that are written to external data at once: each that is transposed
// has its matrix in memory.
var writers = min(runtime.GOMAXPROCS(0), 4)

// writeData writes the external data, some initializers at a time, each to its place.
func (l *layout) writeData(f *os.File) error {
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(writers)
	for _, s := range l.tensors {
		if s.offset < 0 {
			continue
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil // another's error is told
			}
			return buffered(io.NewOffsetWriter(f, s.offset), s.writeData)
		})
	}
	return group.Wait()
}

func (s *section) writeData(w io.Writer) error {
	n, err := s.data.WriteTo(w)
	if err == nil && n != s.data.Size() {
		err = fmt.Errorf("%d bytes of data, want %d", n, s.data.Size())
	}
	if err != nil {
		return fmt.Errorf("initializer %q: %w", s.name, err)
	}
	return nil
}

// create makes a new file beside path, readable for whom a new file is.
func create(path string) (*os.File, error) {
	dir, base := filepath.Split(path)
	return os.OpenFile(filepath.Join(dir, "."+base+"."+rand.Text()+".tmp"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// fill writes a file and closes it.
func fill(file *os.File, write func(*os.File) error) error {
	err := write(file)
	if e := file.Close(); err == nil {
		err = e
	}
	return err
}

// buffered gathers small writes; large ones pass.
func buffered(w io.Writer, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 256<<10)
	if err := write(b); err != nil {
		return err
	}
	return b.Flush()
}
