//go:build !lite

package torch

import (
	"fmt"
	"slices"

	"graft/train/torch/internal/shim"
)

// Version is the version of the libtorch that is loaded, as "2.11.0": the bytes of its ABI version, highest first.
func Version() (string, error) {
	v := shim.ABIVersion()
	return fmt.Sprintf("%d.%d.%d", v>>56, v>>48&0xff, v>>40&0xff), nil
}

// SelfTest multiplies two small matrices on the CPU and compares the product with the one known beforehand.
func SelfTest() error {
	unlock := Lock()
	defer unlock()
	s := NewScope()
	defer s.Close()
	product := s.MatMul(s.Float32s([]float32{1, 2, 3, 4, 5, 6}, 2, 3), s.Float32s([]float32{7, 8, 9, 10, 11, 12}, 3, 2))
	if err := s.Err(); err != nil {
		return err
	}
	got, err := product.Float32s()
	if err != nil {
		return err
	}
	if want := []float32{58, 64, 139, 154}; !slices.Equal(got, want) {
		return fmt.Errorf("libtorch: matmul: got %v, want %v", got, want)
	}
	return nil
}
