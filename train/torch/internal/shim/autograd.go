//go:build !lite

package shim

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime/cgo"
	"unsafe"
)

// Backward is torch.autograd.backward([y], [grad]); grad may be nil where y is a scalar.
func Backward(y, grad Handle) error { return message(C.graft_backward(y, grad)) }

// GradMode says what autograd does on this thread: whether it records, and whether autocast may keep cast weights.
type GradMode int

// The modes.
const (
	GradOff GradMode = 0
	GradOn  GradMode = 3
)

// SetGrad changes the mode and returns what it was.
func SetGrad(mode GradMode) GradMode { return GradMode(C.graft_set_grad(C.int(mode))) }

// Autocast is a state of autocast on this thread, to go back to.
type Autocast struct{ before C.graft_autocast }

// AutocastBegin turns autocast to the type dtype on, or with off turns it off, for one kind of device: 0 CPU, 1 CUDA.
func AutocastBegin(device int, dtype int32, on bool) Autocast {
	return Autocast{C.graft_autocast_begin(C.int(device), C.int(dtype), number(on))}
}

// AutocastDType is the type of autocast for one kind of device, 0 where it is off.
func AutocastDType(device int) int32 { return int32(C.graft_autocast_dtype(C.int(device))) }

// End restores the state before AutocastBegin.
func (a Autocast) End() { C.graft_autocast_end(a.before) }

// Segment is a computation that Recompute may run twice. It takes its inputs' handles over and gives its outputs' away.
type Segment func(in []Handle) ([]Handle, error)

// maxOutputs is the room for the outputs of one segment.
const maxOutputs = 16

// Recompute runs f without a graph; its backward runs it again with one. f is forgotten with the graph.
func Recompute(f Segment, in []Handle) ([]Handle, error) {
	var out [maxOutputs]Handle
	var n C.int
	closure := C.uintptr_t(cgo.NewHandle(f))
	if err := message(C.graft_recompute(closure, list(in), C.int(len(in)), &out[0], maxOutputs, &n)); err != nil {
		return nil, err
	}
	return out[:n:n], nil
}

//export graftRunSegment
func graftRunSegment(closure C.uintptr_t, in *unsafe.Pointer, inputs C.int, out *unsafe.Pointer, room C.int, outputs *C.int) (failure *C.char) {
	defer func() {
		if r := recover(); r != nil {
			failure = C.CString(fmt.Sprint("panic: ", r))
		}
	}()
	results, err := cgo.Handle(closure).Value().(Segment)(unsafe.Slice(in, int(inputs)))
	if err != nil {
		return C.CString(err.Error())
	}
	if len(results) > int(room) {
		return C.CString(fmt.Sprintf("%d outputs of a recomputed segment, at most %d are possible", len(results), room))
	}
	copy(unsafe.Slice(out, int(room)), results)
	*outputs = C.int(len(results))
	return nil
}

//export graftReleaseSegment
func graftReleaseSegment(closure C.uintptr_t) { cgo.Handle(closure).Delete() }
