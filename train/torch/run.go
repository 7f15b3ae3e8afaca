//go:build !lite

package torch

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sugarme/gotch/libtch"

	"graft/graph"
)

// RunOptions says how a program runs.
type RunOptions struct {
	Training bool // dropout is on
	RNG      *RNG // where dropout takes its randomness from; it is moved on
}

// Run computes the outputs from inputs by name. They live in s, as do the tensors in between, each of which is freed
// after its last use; what autograd needs of them it keeps. Inputs stay the caller's. After an error, which s.Err
// gives, the result is nil.
func (p *Program) Run(s *Scope, inputs map[string]*Tensor, o RunOptions) map[string]*Tensor {
	if s.Err() != nil {
		return nil
	}
	r := &run{program: p, s: s, env: slices.Clone(p.start), options: o}
	for _, b := range p.inputs {
		t := inputs[b.name]
		if t == nil {
			s.Fail(fmt.Errorf("run graph: no tensor for input %q", b.name))
			return nil
		}
		r.env[b.slot] = value{t: t}
	}
	r.steps(p.steps)
	out := make(map[string]*Tensor, len(p.outputs))
	for _, b := range p.outputs {
		out[b.name] = r.output(b.slot)
	}
	if s.Err() != nil {
		return nil
	}
	return out
}

// run is one run of a program, or of a part of it.
type run struct {
	program *Program
	s       *Scope
	env     []value // by slot
	options RunOptions
	failed  bool // the error of s is told with its node
}

// output is the tensor of an output: a handle of its own, whatever else shares the slot.
func (r *run) output(slot int) *Tensor {
	if v := r.env[slot]; v.t == nil && v.h != nil {
		return r.s.upload(v.h, r.program.device)
	}
	return r.s.alias(r.env[slot].t)
}

func (r *run) steps(list []step) {
	for i := range list {
		if r.step(&list[i]); r.s.Err() != nil {
			return
		}
	}
}

// step runs one step and frees what nothing needs after it.
func (r *run) step(st *step) {
	c := call{Scope: r.s, run: r, step: st}
	out := r.onHost(st)
	if out == nil {
		out = st.run(&c)
	}
	if err := r.s.Err(); err != nil {
		if !r.failed {
			r.failed = true
			r.s.err = fmt.Errorf("run graph: node %q (%s): %w", st.node.Name, st.node.Op, err)
		}
		return
	}
	for i, v := range out {
		if i < len(st.out) && st.out[i] >= 0 {
			r.env[st.out[i]] = v
		} else {
			r.s.Release(v.t)
		}
	}
	for _, slot := range st.free {
		r.s.Release(r.env[slot].t)
		r.env[slot] = value{}
	}
}

// rng is where dropout takes its randomness from.
func (r *run) rng() *RNG {
	if r.options.RNG == nil {
		r.s.Fail(errors.New("training without randomness: RunOptions.RNG is nil"))
		return new(RNG)
	}
	return r.options.RNG
}

// mostOnHost bounds the elements of a tensor that is computed on the host.
const mostOnHost = 1024

// sizedBy names the input whose elements say how large an operator's result is.
var sizedBy = map[string]int{"ConstantOfShape": 0, "Expand": 1, "Range": 1, "Tile": 1}

// onHost evaluates a step all of whose inputs are scalars and short vectors on the host; nil where it belongs on the device.
func (r *run) onHost(st *step) []value {
	if len(st.in) == 0 || !st.onHost {
		return nil
	}
	in := make([]*graph.Tensor, len(st.in))
	for i, slot := range st.in {
		if slot < 0 {
			continue
		}
		h := r.env[slot].h
		if h == nil || len(h.Shape) > 1 || h.Len() > mostOnHost {
			return nil
		}
		in[i] = h
	}
	if i, ok := sizedBy[st.node.Op]; ok {
		sizes, err := in[i].Int64s()
		if n := graph.Count(sizes); err != nil || n < 0 || n > mostOnHost {
			return nil
		}
	}
	results, err := graph.Evaluate(st.node, st.opset, in)
	if err != nil {
		return nil
	}
	out := make([]value, len(results))
	for i, t := range results {
		out[i] = value{h: t}
	}
	return out
}

// call is what the lowering of a node sees of a run. Its tensors live in the scope; each is a handle of its own, so that
// a lowering never returns an input itself but an alias.
type call struct {
	*Scope
	run  *run
	step *step
}

func (c *call) node() *graph.Node { return c.step.node }

// value is input i; empty where it is left out.
func (c *call) value(i int) value {
	if i >= len(c.step.in) || c.step.in[i] < 0 {
		return value{}
	}
	return c.run.env[c.step.in[i]]
}

func (c *call) has(i int) bool { return c.value(i).known() }

// tensor is input i on the device, nil where it is left out. A constant is copied there once.
func (c *call) tensor(i int) *Tensor {
	v := c.value(i)
	if v.t != nil || v.h == nil {
		return v.t
	}
	p, slot := c.run.program, c.step.in[i]
	if p.fixed[slot] {
		if p.start[slot].t == nil { // a block that runs again began before another run copied it
			p.start[slot].t = c.Keep(c.upload(v.h, p.device))
		}
		v.t = p.start[slot].t
	} else {
		v.t = c.upload(v.h, p.device)
	}
	c.run.env[slot].t = v.t
	return v.t
}

// tensors are all inputs.
func (c *call) tensors() []*Tensor {
	list := make([]*Tensor, len(c.step.in))
	for i := range list {
		list[i] = c.tensor(i)
	}
	return list
}

// ints are the elements of an integer input, nil where it is left out. From the device they are waited for.
func (c *call) ints(i int) []int64 {
	v := c.value(i)
	var list []int64
	var err error
	switch {
	case v.h != nil:
		list, err = v.h.Int64s()
	case v.t != nil:
		list, err = v.t.Int64s()
	}
	if err != nil {
		c.Fail(err)
	}
	return list
}

// intsOr are the elements of input i, or those of the attribute that held them in older operator sets.
func (c *call) intsOr(i int, attr string) []int64 {
	if c.has(i) {
		return c.ints(i)
	}
	return c.node().Ints(attr)
}

// number is the only element of input i where the host knows it.
func (c *call) number(i int) (x float64, ok bool) {
	h := c.value(i).h
	if h == nil || h.Len() != 1 {
		return 0, false
	}
	if h.DType == graph.Double {
		return 0, false
	}
	if h.DType.IsFloat() {
		list, err := h.Float32s()
		if err != nil {
			return 0, false
		}
		return float64(list[0]), true
	}
	list, err := h.Int64s()
	if err != nil {
		return 0, false
	}
	return float64(list[0]), true
}

// scalarOr is the only element of input i, copied from the device where it is there, def where it is left out.
func (c *call) scalarOr(i int, def float64) float64 {
	if !c.has(i) {
		return def
	}
	if x, ok := c.number(i); ok {
		return x
	}
	x, err := c.tensor(i).Item()
	if err != nil {
		c.Fail(err)
	}
	return x
}

// axis is an axis of a tensor of rank dimensions, counted from 0.
func (c *call) axis(a int64, rank int) int64 {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(max(rank, 1)) {
		c.failf("axis %d of a tensor of rank %d", a, rank)
		return 0
	}
	return a
}

func (c *call) failf(format string, args ...any) { c.Fail(fmt.Errorf(format, args...)) }

// raw makes a tensor by a call that Scope has no method for.
func (c *call) raw(name string, f func(out *libtch.Ctensor), in ...*Tensor) *Tensor {
	return c.op(name, f, in...)
}

// shallowClone is the handle that shares everything with x.
func shallowClone(out *libtch.Ctensor, x libtch.Ctensor) { *out = libtch.AtShallowClone(x) }

// device wraps the outputs of a lowering.
func device(list ...*Tensor) []value {
	out := make([]value, len(list))
	for i, t := range list {
		out[i] = value{t: t}
	}
	return out
}
