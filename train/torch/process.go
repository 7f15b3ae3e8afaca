//go:build !lite

package torch

import "graft/train/torch/internal/shim"

// Seed seeds torch's own generators on all devices.
func Seed(seed int64) error { return stepError("seed", shim.Seed(seed)) }

// SetThreads sets how many threads one operation uses on the CPU.
func SetThreads(n int) { shim.SetThreads(n) }

// Threads is how many threads one operation uses on the CPU.
func Threads() int { return shim.Threads() }

// TuneMalloc makes glibc keep freed memory for the next step instead of giving it back to the system, which would have to
// clear every page of it again, and asks for huge pages. It concerns the whole process: call it before the first tensor,
// and after the first steps again for what the heap has grown by; always from one goroutine.
func TuneMalloc() { shim.TuneMalloc() }

// Memory is a device's memory as libtorch's allocator sees it, in bytes.
type Memory struct {
	Allocated, Peak, Reserved int64
}

// MemoryStats reads the allocator's statistics of a CUDA device.
func MemoryStats(dev Device) (Memory, error) {
	allocated, peak, reserved, err := shim.Memory(dev.Index)
	return Memory{allocated, peak, reserved}, stepError("memory statistics", err)
}

// ResetPeakMemory starts Memory.Peak of a CUDA device anew.
func ResetPeakMemory(dev Device) error {
	return stepError("memory statistics", shim.ResetPeak(dev.Index))
}
