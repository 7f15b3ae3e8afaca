//go:build !lite

package shim

// #include "shim.h"
import "C"

import "unsafe"

// Dropout drops elements with probability p by the mask of (seed, offset).
func Dropout(x Handle, p float64, seed, offset uint64, byRow bool) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.graft_dropout(out, x, C.double(p), C.uint64_t(seed), C.uint64_t(offset), number(byRow))
	})
}

// Attention is scaled dot-product attention whose weights are dropped with probability p; mask may be nil.
func Attention(q, k, v, mask Handle, causal bool, scale, p float64, seed, offset uint64) (Handle, error) {
	return made(func(out *unsafe.Pointer) *C.char {
		return C.graft_attention(out, q, k, v, mask, number(causal), C.double(scale), C.double(p), C.uint64_t(seed), C.uint64_t(offset))
	})
}
