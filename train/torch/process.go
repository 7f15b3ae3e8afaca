//go:build !lite

package torch

import (
	"os"

	"graft/train/torch/internal/shim"
)

// Seed seeds torch's own generators on all devices.
func Seed(seed int64) error { return stepError("seed", shim.Seed(seed)) }

// SetThreads sets how many threads one operation uses on the CPU.
func SetThreads(n int) { shim.SetThreads(n) }

// Threads is how many threads one operation uses on the CPU.
func Threads() int { return shim.Threads() }

// SetFloat32MatmulPrecision chooses, as torch.set_float32_matmul_precision does, how Linear multiplies float32 matrices, forward
// and backward.
//
//   - "highest": in float32.
//   - "high": each number as the sum of two of bfloat16 where the CPU has AMX, 16 bits of mantissa, added up in float32; in
//     TensorFloat32 on CUDA, 10 bits.
//   - "auto": as "high" on a CPU with AMX, for products of at least 128 rows, columns and features; else as "highest".
func SetFloat32MatmulPrecision(name string) error {
	return stepError("float32 matmul precision", shim.SetFloat32MatmulPrecision(name))
}

// HasTiles says whether this CPU has AMX's tiles of bfloat16.
func HasTiles() bool { return shim.HasTiles() }

// BoundMemory keeps the CPU's memory from growing with the steps whose shapes vary. Call it before the first tensor; it is for
// good.
//
// Tensors that are larger than some pages get a heap of their own, of huge pages where the system has them. It keeps the
// memory of a step for the next, which spares the system clearing it, and no more than the largest step has taken.
//
// oneDNN makes the code of a bfloat16 product anew for every shape, about half a megabyte, and both it and libtorch keep
// that of the last 1024. Products of a shape follow each other, layer for layer, so fewer do as well.
func BoundMemory() {
	for _, name := range []string{"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"} {
		if os.Getenv(name) == "" {
			os.Setenv(name, "64") // read when the first product runs
		}
	}
	shim.OwnHeap()
}

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
