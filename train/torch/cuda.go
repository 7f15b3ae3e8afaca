//go:build !lite

package torch

import (
	"fmt"
	"sync"

	"graft/train/torch/internal/shim"
)

// cudaLibraries are libtorch's CUDA parts in the order in which they are opened. They lie beside libtorch_cpu.so, where a
// full installation of the same version has them, and find NVIDIA's libraries by their own run path.
var cudaLibraries = []string{"libc10_cuda.so", "libtorch_cuda.so"}

// openCUDA opens them once.
var openCUDA = sync.OnceValue(func() error {
	for _, name := range cudaLibraries {
		if err := shim.Open(name); err != nil {
			return err
		}
	}
	return nil
})

// ParseDevice reads "cpu", "cuda", "cuda:1" or "auto": CUDA where it works, else the CPU. The first mention of CUDA opens
// its libraries; what is missing is in the error.
func ParseDevice(s string) (Device, error) {
	if s == "auto" {
		if openCUDA() == nil && shim.CUDADevices() > 0 {
			return Device{Kind: CUDA}, nil
		}
		return Device{}, nil
	}
	d, err := parseDevice(s)
	if err != nil || d.Kind == CPU {
		return d, err
	}
	if err := openCUDA(); err != nil {
		return d, fmt.Errorf("device %q: open CUDA: %w", s, err)
	}
	if n := shim.CUDADevices(); d.Index >= n {
		return d, fmt.Errorf("device %q: CUDA sees %d devices", s, n)
	}
	return d, nil
}
