//go:build !lite

package shim

// #cgo CFLAGS: -O3 -fopenmp-simd
// #cgo CXXFLAGS: -std=c++17 -fopenmp
// #cgo LDFLAGS: -ltorch_cpu -lc10 -lstdc++ -lgomp -ldl -lm
// #include <stdlib.h>
// #include "shim.h"
// extern uint64_t aoti_torch_abi_version(void); // torch/csrc/inductor/aoti_torch/c/shim.h
import "C"

import (
	"errors"
	"strings"
	"unsafe"
)

// Handle is an at::Tensor*, nil for no tensor.
type Handle = unsafe.Pointer

// Message turns a message that C allocated into an error, nil for none, and frees it. libtorch's messages go on with a C++
// backtrace: the first line says what is wrong.
func Message(text unsafe.Pointer) error {
	if text == nil {
		return nil
	}
	defer C.free(text)
	first, _, _ := strings.Cut(C.GoString((*C.char)(text)), "\n")
	return errors.New(first)
}

func message(text *C.char) error { return Message(unsafe.Pointer(text)) }

// list is the address of the first handle, nil for an empty list.
func list(hs []Handle) *unsafe.Pointer { return unsafe.SliceData(hs) }

func number(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// made calls f for a new handle.
func made(f func(out *unsafe.Pointer) *C.char) (Handle, error) {
	var out unsafe.Pointer
	err := message(f(&out))
	return out, err
}

// ABIVersion is libtorch's version, one byte a number from the highest on.
func ABIVersion() uint64 { return uint64(C.aoti_torch_abi_version()) }

// Gelu is at::gelu.
func Gelu(x Handle, tanh bool) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.graft_gelu(out, x, number(tanh)) })
}

// Clone is at::clone.
func Clone(x Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.graft_clone(out, x) })
}

// RMSNorm is at::rms_norm over the last dims dimensions.
func RMSNorm(x Handle, dims int, weight Handle, eps float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.graft_rms_norm(out, x, C.int(dims), weight, C.double(eps))
	})
}

// Normalize is torch.nn.functional.normalize with the Euclidean norm.
func Normalize(x Handle, dim int64, eps float64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.graft_normalize(out, x, C.int64_t(dim), C.double(eps)) })
}
