//go:build !lite

package shim

// #include <stdlib.h>
// #include "shim.h"
import "C"

import "unsafe"

// Seed is torch::manual_seed.
func Seed(seed int64) error { return message(C.graft_seed(C.int64_t(seed))) }

// SetThreads is at::set_num_threads.
func SetThreads(n int) { C.graft_set_threads(C.int(n)) }

// Threads is at::get_num_threads.
func Threads() int { return int(C.graft_threads()) }

// OwnHeap gives tensors on the CPU a heap of their own; false where the system does not grant it.
func OwnHeap() bool { return C.graft_own_heap() != 0 }

// Open is dlopen of a shared library whose symbols all later ones see.
func Open(path string) error {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	return message(C.graft_dlopen(p))
}

// CUDADevices counts the CUDA devices; 0 without its libraries.
func CUDADevices() int { return int(C.graft_cuda_devices()) }

// Memory reads the statistics of a CUDA device's allocator, in bytes.
func Memory(device int) (allocated, peak, reserved int64, err error) {
	var a, p, r C.int64_t
	err = message(C.graft_memory(C.int(device), &a, &p, &r))
	return int64(a), int64(p), int64(r), err
}

// ResetPeak starts the peak of Memory anew.
func ResetPeak(device int) error { return message(C.graft_reset_peak(C.int(device))) }
