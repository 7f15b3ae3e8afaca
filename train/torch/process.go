//go:build !lite

package torch

// #include "shim.h"
import "C"

// Seed seeds torch's own generators on all devices.
func Seed(seed int64) error { return cError("seed", C.graft_seed(C.int64_t(seed))) }

// SetThreads sets how many threads one operation uses on the CPU.
func SetThreads(n int) { C.graft_set_threads(C.int(n)) }

// Threads is how many threads one operation uses on the CPU.
func Threads() int { return int(C.graft_threads()) }

// TuneMalloc makes glibc keep freed memory for the next step instead of giving it back to the system, which would have to
// clear every page of it again. It concerns the whole process.
func TuneMalloc() { C.graft_tune_malloc() }

// Memory is a device's memory as libtorch's allocator sees it, in bytes.
type Memory struct {
	Allocated, Peak, Reserved int64
}

// MemoryStats reads the allocator's statistics of a CUDA device.
func MemoryStats(dev Device) (Memory, error) {
	var allocated, peak, reserved C.int64_t
	err := cError("memory statistics", C.graft_memory(C.int(dev.Index), &allocated, &peak, &reserved))
	return Memory{int64(allocated), int64(peak), int64(reserved)}, err
}

// ResetPeakMemory starts Memory.Peak of a CUDA device anew.
func ResetPeakMemory(dev Device) error {
	return cError("memory statistics", C.graft_reset_peak(C.int(dev.Index)))
}
