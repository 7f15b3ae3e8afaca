//go:build !lite

package torch

// #cgo LDFLAGS: -ltorch_cpu -lc10
// #include <stdint.h>
// #include <stdlib.h>
// extern uint64_t aoti_torch_abi_version(void); // torch/csrc/inductor/aoti_torch/c/shim.h
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// kindFloat is libtorch's number of the element type float32 (c10::ScalarType::Float).
const kindFloat = 6

// Version is the version of the libtorch that is loaded, as "2.11.0": the bytes of its ABI version, highest first.
func Version() (string, error) {
	v := uint64(C.aoti_torch_abi_version())
	return fmt.Sprintf("%d.%d.%d", v>>56, v>>48&0xff, v>>40&0xff), nil
}

// SelfTest multiplies two small matrices on the CPU and compares the product with the one known beforehand.
func SelfTest() error {
	// libtorch's C layer keeps a call's error in a thread-local slot.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	a, err := matrix([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if err != nil {
		return err
	}
	defer libtch.AtFree(a)
	b, err := matrix([]float32{7, 8, 9, 10, 11, 12}, 3, 2)
	if err != nil {
		return err
	}
	defer libtch.AtFree(b)

	var product libtch.Ctensor
	libtch.AtgMatmul(&product, a, b)
	if err := lastError("matmul"); err != nil {
		return err
	}
	defer libtch.AtFree(product)
	got := make([]float32, 4)
	libtch.AtCopyData(product, unsafe.Pointer(&got[0]), uint(len(got)), 4)
	if err := lastError("copy"); err != nil {
		return err
	}
	if want := []float32{58, 64, 139, 154}; !slices.Equal(got, want) {
		return fmt.Errorf("libtorch: matmul: got %v, want %v", got, want)
	}
	return nil
}

// matrix copies values into a new tensor [rows, columns]; the caller frees it.
func matrix(values []float32, rows, columns int64) (libtch.Ctensor, error) {
	t := libtch.AtTensorOfData(unsafe.Pointer(&values[0]), []int64{rows, columns}, 2, 4, kindFloat)
	return t, lastError("new tensor")
}

// lastError takes the error of the last call on this OS thread out of its slot. The text goes on with a C++ backtrace:
// its first line says what is wrong.
func lastError(step string) error {
	message := libtch.GetAndResetLastErr()
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	text, _, _ := strings.Cut(C.GoString((*C.char)(unsafe.Pointer(message))), "\n")
	return fmt.Errorf("libtorch: %s: %s", step, text)
}
