package ort

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// An Array is a tensor of any element type in Go memory, row-major. Data is a
// slice of the element's Go type: []float32, []float64, []int64, []int32,
// []int16, []int8, []uint8, []uint16, []uint32, []uint64, []bool; for float16
// and bfloat16 it is the little-endian bytes as []byte.
type Array struct {
	Type  ElementType
	Shape []int64
	Data  any
}

// DummyInputs makes inputs for a run whose result does not matter: integers
// and booleans are 1, floats 0; a free first dimension is batch, any other
// sequence.
func (m *ModelInfo) DummyInputs(batch, sequence int64) (map[string]Array, error) {
	inputs := map[string]Array{}
	for _, in := range m.Inputs {
		shape := slices.Clone(in.Shape)
		for i, d := range shape {
			if d < 0 && i == 0 {
				shape[i] = batch
			} else if d < 0 {
				shape[i] = sequence
			}
		}
		e, ok := elementTypes[in.Type]
		if !ok || e.alloc == nil {
			return nil, fmt.Errorf("input %q: element type %s is not supported", in.Name, in.Type)
		}
		n, err := elements(shape)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", in.Name, err)
		}
		data := e.alloc(n)
		switch data := data.(type) {
		case []int64:
			fill(data, 1)
		case []int32:
			fill(data, 1)
		case []bool:
			fill(data, true)
		}
		inputs[in.Name] = Array{Type: in.Type, Shape: shape, Data: data}
	}
	return inputs, nil
}

func fill[T any](data []T, x T) {
	for i := range data {
		data[i] = x
	}
}

// RunArrays runs the session on any element types and returns its outputs by
// name. It allocates what it needs: for checks and tests, where Run is for
// speed.
func (s *Session) RunArrays(ctx context.Context, inputs map[string]Array) (map[string]Array, error) {
	in := make([]ort.Value, len(s.Inputs))
	defer destroyAll(in)
	for i, name := range s.Inputs {
		a, ok := inputs[name]
		if !ok {
			return nil, fmt.Errorf("run: input %q is not given", name)
		}
		v, err := a.wrap()
		if err != nil {
			return nil, fmt.Errorf("run: input %q: %w", name, err)
		}
		in[i] = v
	}
	for name := range inputs {
		if !slices.Contains(s.Inputs, name) {
			return nil, fmt.Errorf("run: the model has no input %q (it has %s)", name, strings.Join(s.Inputs, ", "))
		}
	}
	out := make([]ort.Value, len(s.Outputs))
	defer destroyAll(out)
	if err := s.runFitting(ctx, in, out); err != nil {
		return nil, err
	}
	named := make(map[string]Array, len(out))
	for i, name := range s.Outputs {
		a, err := unwrap(out[i], s.output(name).Type)
		if err != nil {
			return nil, fmt.Errorf("run: output %q: %w", name, err)
		}
		named[name] = a
	}
	return named, nil
}

// wrongShape is ONNX Runtime's complaint about an output tensor that was given
// with another shape than the model produces.
// The first wording is of ONNX Runtime 1.30, the second of 1.24.
var wrongShape = regexp.MustCompile(`(?:has shape |Current shape:)\{([0-9,]*)\}` +
	`(?: but the computed output shape for this run is | Requested shape:)\{([0-9,]*)\}`)

// guess is a shape for output i whose free dimensions are not known: it differs
// from output to output, so that the complaint says which one it is about.
func guess(declared []int64, i int) []int64 {
	shape := slices.Clone(declared)
	if declared == nil {
		shape = []int64{-1}
	}
	next := int64(1009 + i)
	for d, n := range shape {
		if n < 0 {
			shape[d], next = next, 1
		}
	}
	return shape
}

// runFitting runs the session and lets ONNX Runtime allocate the outputs. The
// binding cannot take over those of rank 0 or of types that Go lacks
// (onnxruntime_go 1.27 copies too few bytes), so these are allocated here, at
// first in a wrong shape: the failing run tells the right one.
func (s *Session) runFitting(ctx context.Context, in, out []ort.Value) error {
	for i, name := range s.Outputs {
		info := s.output(name)
		e, ok := elementTypes[info.Type]
		if !ok || e.wrap == nil {
			return fmt.Errorf("run: output %q: element type %s is not supported", name, info.Type)
		}
		if rank0 := info.Shape != nil && len(info.Shape) == 0; rank0 {
			if err := s.allocate(out, i, nil); err != nil {
				return err
			}
		} else if info.Type == Float16 || info.Type == BFloat16 {
			if err := s.allocate(out, i, guess(info.Shape, i)); err != nil {
				return err
			}
		}
	}
	for range out {
		err := s.run(ctx, in, out)
		m := wrongShape.FindStringSubmatch(fmt.Sprint(err))
		if m == nil {
			return err
		}
		wrong := slices.IndexFunc(out, func(v ort.Value) bool {
			return v != nil && slices.Equal(v.GetShape(), parseShape(m[1]))
		})
		if wrong < 0 {
			return err
		}
		if err := s.allocate(out, wrong, parseShape(m[2])); err != nil {
			return err
		}
	}
	return s.run(ctx, in, out)
}

// allocate makes the memory of output i.
func (s *Session) allocate(out []ort.Value, i int, shape []int64) error {
	e := elementTypes[s.output(s.Outputs[i]).Type]
	n, err := elements(shape)
	if err == nil {
		var v ort.Value
		if v, err = e.wrap(shape, e.alloc(n)); err == nil {
			destroyAll(out[i : i+1])
			out[i] = v
			return nil
		}
	}
	return fmt.Errorf("run: output %q: %w", s.Outputs[i], err)
}

func (s *Session) output(name string) IO {
	for _, o := range s.Info.Outputs {
		if o.Name == name {
			return o
		}
	}
	return IO{}
}

// parseShape reads "2,3" as a shape; the text is ONNX Runtime's own.
func parseShape(text string) []int64 {
	var shape []int64
	for _, d := range strings.Split(text, ",") {
		if n, err := strconv.ParseInt(d, 10, 64); err == nil {
			shape = append(shape, n)
		}
	}
	return shape
}

func (a Array) wrap() (ort.Value, error) {
	e, ok := elementTypes[a.Type]
	if !ok || e.wrap == nil {
		return nil, fmt.Errorf("element type %s is not supported", a.Type)
	}
	return e.wrap(a.Shape, a.Data)
}

// unwrap takes over an output's data; the memory is Go's.
func unwrap(v ort.Value, t ElementType) (Array, error) {
	data, ok := elementTypes[t].unwrap(v)
	if !ok {
		return Array{}, fmt.Errorf("the session made a %T where the model declares %s", v, t)
	}
	return Array{Type: t, Shape: v.GetShape(), Data: data}, nil
}

// destroyAll releases ONNX Runtime's view of the values that are set.
func destroyAll(values []ort.Value) {
	for i, v := range values {
		if v != nil {
			v.Destroy()
			values[i] = nil
		}
	}
}
