//go:build !lite

package torch

import (
	"fmt"

	"github.com/sugarme/gotch/libtch"

	"graft/train/torch/internal/shim"
)

// Recompute runs f on in without keeping what backward needs, and runs it again, on the same inputs, when backward comes to
// it ("Training Deep Nets with Sublinear Memory Cost", Chen et al., 2016). Tensors that f captures, its weights, get
// gradients too. f must compute the same each time: whatever random state it uses, it copies before it is handed in. The
// second run has the autocast of the first, and may be on another OS thread.
func Recompute(s *Scope, f func(s *Scope, in []*Tensor) []*Tensor, in []*Tensor) []*Tensor {
	if !s.ready("recompute", in) {
		return nil
	}
	outputs, err := shim.Recompute(func(in []shim.Handle) ([]shim.Handle, error) { return runSegment(f, in) }, raws(in))
	if !s.check("recompute", err) {
		return nil
	}
	return s.adopt(outputs)
}

// adopt puts new handles into the scope.
func (s *Scope) adopt(hs []shim.Handle) []*Tensor {
	ts := make([]*Tensor, len(hs))
	for i, h := range hs {
		ts[i] = s.Own(newTensor(libtch.Ctensor(h), nil))
	}
	return ts
}

// runSegment runs f in a scope of its own. It takes its inputs' handles over and gives its outputs' away.
func runSegment(f func(s *Scope, in []*Tensor) []*Tensor, in []shim.Handle) ([]shim.Handle, error) {
	s := NewScope()
	defer s.Close()
	results := f(s, s.adopt(in))
	if s.Err() != nil {
		return nil, s.Err()
	}
	for i, t := range results {
		if t == nil || t.h == nil {
			return nil, fmt.Errorf("output %d is no tensor", i)
		}
	}
	out := make([]shim.Handle, len(results))
	for i, t := range results {
		out[i] = shim.Handle(libtch.AtShallowClone(t.h))
	}
	return out, nil
}
