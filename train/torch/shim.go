//go:build !lite

package torch

// #cgo CFLAGS: -O3
// #cgo CXXFLAGS: -std=c++17
// #cgo LDFLAGS: -ltorch_cpu -lc10 -lstdc++ -ldl
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// cError turns a message of the shim into an error and frees it.
func cError(step string, message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return torchError(step, C.GoString(message))
}

// pointer is a handle as the shim takes it.
func pointer(t *Tensor) unsafe.Pointer { return unsafe.Pointer(t.handle()) }

// pointers is the address of a list of handles, nil for an empty one.
func pointers(ts []*Tensor) *unsafe.Pointer {
	if len(ts) == 0 {
		return nil
	}
	list := make([]unsafe.Pointer, len(ts))
	for i, t := range ts {
		list[i] = pointer(t)
	}
	return &list[0]
}

// shim makes one tensor by a call into the shim. The tensors in are its arguments that must be there.
func (s *Scope) shim(name string, call func(out *unsafe.Pointer) *C.char, in ...*Tensor) *Tensor {
	if !s.ready(name, in) {
		return nil
	}
	var out unsafe.Pointer
	if err := cError(name, call(&out)); err != nil {
		s.Fail(err)
		return nil
	}
	return s.Own(newTensor(libtch.Ctensor(out), nil))
}

// Gelu is torch.nn.functional.gelu, exact or, with tanh, approximated.
func (s *Scope) Gelu(x *Tensor, tanh bool) *Tensor {
	return s.shim("gelu", func(out *unsafe.Pointer) *C.char { return C.graft_gelu(out, pointer(x), C.int(flag(tanh))) }, x)
}

// Clone is torch.clone.
func (s *Scope) Clone(x *Tensor) *Tensor {
	return s.shim("clone", func(out *unsafe.Pointer) *C.char { return C.graft_clone(out, pointer(x)) }, x)
}

// RMSNorm is torch.nn.functional.rms_norm over the last n dimensions; w may be nil.
func (s *Scope) RMSNorm(x *Tensor, n int, w *Tensor, eps float64) *Tensor {
	return s.shim("rms_norm", func(out *unsafe.Pointer) *C.char {
		return C.graft_rms_norm(out, pointer(x), C.int(n), pointer(w), C.double(eps))
	}, x)
}

// Normalize is torch.nn.functional.normalize: x over its Euclidean norm along dim, the norm being at least eps.
func (s *Scope) Normalize(x *Tensor, dim int64, eps float64) *Tensor {
	return s.shim("normalize", func(out *unsafe.Pointer) *C.char {
		return C.graft_normalize(out, pointer(x), C.int64_t(dim), C.double(eps))
	}, x)
}
