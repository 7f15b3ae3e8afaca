//go:build !lite

package torch

import (
	"fmt"
	"io"
	"slices"

	"graft/graph"
)

// CompileOptions says what of a model is wanted and how its weights are kept.
type CompileOptions struct {
	Outputs   []string               // graph outputs wanted; nil: all
	Trainable func(name string) bool // which parameters get gradients; nil: every one
	Device    Device
	// Recompute keeps only what enters each transformer block (graph.Layers) and computes the block
	// again in the backward pass: less memory for about a third more arithmetic (Chen et al. 2016).
	Recompute bool
	// FrozenDType is the dtype in which matrices that do not train are kept; 0 is Float32. Products
	// with them are computed in that dtype.
	FrozenDType DType
}

// Parameter is a weight of a program.
type Parameter struct {
	Name      string  // the initializer's
	Tensor    *Tensor // in the initializer's own layout; belongs to the program
	Trainable bool
	Init      *graph.Tensor // what it was made from
}

// Program is a model that was compiled for libtorch: a list of steps over numbered slots. Half-precision
// floats of the model are computed in float32, from which autocast goes down where the caller wants it.
//
// A program runs on one thread at a time: see Lock.
type Program struct {
	device  Device
	inputs  []binding
	outputs []binding
	params  []Parameter
	steps   []step
	// start holds parameters and constants; the other slots are empty. A constant is copied to
	// the device when a step first asks for it.
	start   []value
	fixed   []bool // of start: never released by a step
	weights []bool // of start: parameters
}

// binding gives a name of the graph's interface its slot.
type binding struct {
	name string
	slot int
}

// Parameters lists the weights in the order of the model's initializers. Weights that the outputs do not
// depend on are not in it.
func (p *Program) Parameters() []Parameter { return p.params }

// Inputs lists the names that Run wants; those that the outputs do not depend on are not in it.
func (p *Program) Inputs() []string { return names(p.inputs) }

// Outputs lists the names that Run gives.
func (p *Program) Outputs() []string { return names(p.outputs) }

func (p *Program) isWeight(slot int) bool { return slot >= 0 && p.weights[slot] }

func names(list []binding) []string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = b.name
	}
	return out
}

// Weights are the trainable parameters in float32, under the names and in the shapes of their initializers. Their data is
// read when it is asked for, a tensor at a time: as the parameters are then, and while the program is open.
func (p *Program) Weights() []*graph.Tensor {
	var list []*graph.Tensor
	for _, w := range p.params {
		if !w.Trainable {
			continue
		}
		shape := w.Tensor.Shape()
		list = append(list, &graph.Tensor{Name: w.Name, DType: graph.Float, Shape: shape, Data: graph.Derived{
			Length: 4 * w.Tensor.Len(),
			Write: func(out io.Writer) error {
				values, err := w.Tensor.Float32s()
				if err != nil {
					return fmt.Errorf("read weight %q: %w", w.Name, err)
				}
				_, err = graph.NewTensor(w.Name, values, shape...).Data.WriteTo(out)
				return err
			},
		}})
	}
	return list
}

// Share is a second program over the same weights for another thread to run at the same time. Its parameters are p's own
// memory, with gradients apart, see AddGrads. Close it before p.
func (p *Program) Share() (*Program, error) {
	defer Lock()()
	s := NewScope()
	defer s.Close()
	q := *p
	q.start, q.params = slices.Clone(p.start), slices.Clone(p.params)
	same := make(map[*Tensor]*Tensor)
	for i, v := range p.start {
		if v.t == nil {
			continue
		}
		q.start[i].t = s.Detach(v.t)
		same[v.t] = q.start[i].t
	}
	for i, w := range p.params {
		q.params[i].Tensor = same[w.Tensor]
	}
	if s.Err() != nil {
		return nil, fmt.Errorf("share program: %w", s.Err())
	}
	for _, w := range q.params {
		if err := w.Tensor.SetRequiresGrad(w.Trainable); err != nil {
			return nil, fmt.Errorf("share weight %q: %w", w.Name, err)
		}
	}
	for _, t := range same {
		s.Keep(t)
	}
	return &q, nil
}

// AddGrads adds the gradients of q, which p shared, to p's own, and drops them.
func (p *Program) AddGrads(q *Program) error {
	defer Lock()()
	s := NewScope()
	defer s.Close()
	for i, w := range q.params {
		if g := s.Own(w.Tensor.Grad()); g != nil {
			w.Tensor.ZeroGrad()
			s.BackwardWith(p.params[i].Tensor, g)
			s.Release(g)
		}
	}
	return s.Err()
}

// Close frees the parameters and constants.
func (p *Program) Close() {
	for i := range p.start {
		if t := p.start[i].t; t != nil {
			t.Free()
		}
	}
	p.start, p.params = nil, nil
}
