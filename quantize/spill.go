package quantize

import (
	"io"
	"os"
	"runtime"

	"graft/graph"
)

// spillFrom is the size in bytes from which quantized weights leave memory.
const spillFrom = 1 << 20

// spill is a temporary file for weights that are quantized, so that a model of many gigabytes is never in memory
// whole. The file has no name from the start and goes with the graph that reads it.
type spill struct {
	file *os.File
	size int64
}

// keep adds an initializer to the graph, its data in the temporary file where it is large. Where the file cannot
// be written it stays in memory.
func (j *job) keep(t *graph.Tensor) *graph.Value {
	if t.Data != nil && t.Data.Size() >= spillFrom {
		if data, err := j.spill.add(t.Data); err == nil {
			t.Data = data
		}
	}
	return j.model.Graph.AddInitializer(t)
}

// add writes data behind what is there.
func (s *spill) add(data graph.Data) (graph.Data, error) {
	if runtime.GOOS == "windows" { // no file there loses its name while it is open
		return data, nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "graft-quantized-*")
		if err != nil {
			return nil, err
		}
		if err := os.Remove(f.Name()); err != nil {
			f.Close()
			return nil, err
		}
		s.file = f
	}
	f, at, size := s.file, s.size, data.Size()
	if _, err := data.WriteTo(io.NewOffsetWriter(f, at)); err != nil {
		return nil, err
	}
	s.size += size
	return graph.Derived{Length: size, Write: func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(f, at, size))
		return err
	}}, nil
}
