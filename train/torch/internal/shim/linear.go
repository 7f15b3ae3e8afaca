//go:build !lite

package shim

// #include <stdlib.h>
// #include "matmul.h"
// #include "shim.h"
import "C"

import "unsafe"

// Linear is at::linear, in the precision that SetFloat32MatmulPrecision chose; bias may be nil.
func Linear(x, w, bias Handle) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char { return C.graft_linear(out, x, w, bias) })
}

// SetFloat32MatmulPrecision is torch.set_float32_matmul_precision.
func SetFloat32MatmulPrecision(name string) error {
	p := C.CString(name)
	defer C.free(unsafe.Pointer(p))
	return message(C.graft_set_float32_matmul_precision(p))
}

// HasTiles says whether this CPU multiplies tiles of bfloat16 and the system lets this process do so.
func HasTiles() bool { return C.graft_matmul_available() != 0 }
