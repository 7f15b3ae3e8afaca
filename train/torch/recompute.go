//go:build !lite

package torch

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime/cgo"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// segment is a computation that Recompute may run twice.
type segment func(s *Scope, in []*Tensor) []*Tensor

// maxSegmentOutputs is the room for outputs of one segment, as in shim.cpp.
const maxSegmentOutputs = 16

// Recompute runs f on in without keeping what backward needs, and runs it again, on the same inputs, when backward comes to
// it ("Training Deep Nets with Sublinear Memory Cost", Chen et al., 2016). Tensors that f captures, its weights, get
// gradients too. f must compute the same each time: whatever random state it uses, it copies before it is handed in. The
// second run has the autocast of the first, and may be on another OS thread.
func Recompute(s *Scope, f func(s *Scope, in []*Tensor) []*Tensor, in []*Tensor) []*Tensor {
	if !s.ready("recompute", in) {
		return nil
	}
	var out [maxSegmentOutputs]unsafe.Pointer
	var n C.int
	closure := C.uintptr_t(cgo.NewHandle(segment(f))) // freed with the graph's node
	message := C.graft_recompute(closure, pointers(in), C.int(len(in)), &out[0], maxSegmentOutputs, &n)
	if err := cError("recompute", message); err != nil {
		s.Fail(err)
		return nil
	}
	outputs := make([]*Tensor, n)
	for i := range outputs {
		outputs[i] = s.Own(newTensor(libtch.Ctensor(out[i]), nil))
	}
	return outputs
}

//export graftRunClosure
func graftRunClosure(closure C.uintptr_t, in *unsafe.Pointer, inputs C.int, out *unsafe.Pointer, maxOutputs C.int, outputs *C.int) (message *C.char) {
	s := NewScope()
	defer s.Close()
	defer func() {
		if r := recover(); r != nil {
			message = C.CString(fmt.Sprint("panic: ", r))
		}
	}()
	args := make([]*Tensor, inputs)
	for i, h := range unsafe.Slice(in, int(inputs)) {
		args[i] = s.Own(newTensor(libtch.Ctensor(h), nil))
	}
	results := cgo.Handle(closure).Value().(segment)(s, args)
	if s.Err() != nil {
		return C.CString(s.Err().Error())
	}
	if len(results) > int(maxOutputs) {
		return C.CString(fmt.Sprintf("a recomputed segment has %d outputs, at most %d are possible", len(results), maxOutputs))
	}
	for i, t := range results {
		if t == nil || t.h == nil {
			return C.CString(fmt.Sprintf("output %d of a recomputed segment is no tensor", i))
		}
	}
	for i, t := range results {
		unsafe.Slice(out, int(maxOutputs))[i] = unsafe.Pointer(handOver(t, results[:i]))
	}
	*outputs = C.int(len(results))
	return nil
}

// handOver gives t's handle to the caller in C. A tensor that stays the caller's in Go, or that is an output already, goes as
// a second handle.
func handOver(t *Tensor, before []*Tensor) libtch.Ctensor {
	_ = before
	if t.scope == nil {
		return libtch.AtShallowClone(t.h)
	}
	h := t.h
	t.h, t.scope = nil, nil
	live.Add(-1)
	return h
}

//export graftReleaseClosure
func graftReleaseClosure(closure C.uintptr_t) { cgo.Handle(closure).Delete() }
