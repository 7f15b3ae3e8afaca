//go:build !lite

package torch

import (
	"slices"
	"strings"
	"testing"
)

func TestTensor(t *testing.T) {
	s := newScope(t)
	x := s.Float32s([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if got := x.Shape(); !slices.Equal(got, []int64{2, 3}) || x.Len() != 6 || x.Rank() != 2 {
		t.Errorf("shape %v, %d elements, rank %d", got, x.Len(), x.Rank())
	}
	for i, want := range map[int]int64{0: 2, -1: 3, 2: 0, -3: 0} {
		if got := x.Dim(i); got != want {
			t.Errorf("dimension %d is %d, want %d", i, got, want)
		}
	}
	if x.DType() != Float32 || x.Device() != (Device{}) || x.RequiresGrad() || x.String() != "float32[2 3]" {
		t.Errorf("got %v on %v", x, x.Device())
	}
	if got, err := s.T(x).Float32s(); err != nil || !slices.Equal(got, []float32{1, 4, 2, 5, 3, 6}) {
		t.Errorf("transposed elements %v, %v", got, err)
	}
	if got, err := s.To(x, BFloat16).Float32s(); err != nil || !slices.Equal(got, []float32{1, 2, 3, 4, 5, 6}) {
		t.Errorf("bfloat16 elements %v, %v", got, err)
	}
	if got, err := x.Int64s(); err != nil || !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("as int64 %v, %v", got, err)
	}
	if got, err := s.Slice(s.To(x, Uint8), 1, 1, 3, 1).Bytes(); err != nil || !slices.Equal(got, []byte{2, 3, 5, 6}) {
		t.Errorf("bytes %v, %v", got, err)
	}
	scalar := s.Float32s([]float32{7})
	if v, err := scalar.Item(); err != nil || v != 7 || len(scalar.Shape()) != 0 {
		t.Errorf("scalar %v of shape %v, %v", v, scalar.Shape(), err)
	}
	if _, err := x.Item(); err == nil {
		t.Error("item of six elements")
	}
	if got, err := s.Float32s(nil, 0, 3).Float32s(); err != nil || len(got) != 0 {
		t.Errorf("empty tensor: %v, %v", got, err)
	}
	if err := x.CopyFrom(s.Full(9, Int64, Device{}, 3)); err != nil || numbers(t, s, x)[5] != 9 {
		t.Errorf("copied %v, %v", numbers(t, s, x), err)
	}
	if err := x.CopyFrom(s.Ones(Float32, Device{}, 4)); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("copy of another shape: %v", err)
	}
	if err := s.Int64s([]int64{1}, 1).SetRequiresGrad(true); err == nil {
		t.Error("integers with gradients")
	}
}

func TestNewTensorErrors(t *testing.T) {
	if _, err := FromFloat32(make([]float32, 5), 2, 3); err == nil || !strings.Contains(err.Error(), "20 bytes for float32 [2 3], want 24") {
		t.Errorf("five elements for [2 3]: %v", err)
	}
	if _, err := FromBytes(DType(99), nil, 0); err == nil {
		t.Error("an unknown type was taken")
	}
	if _, err := (*Tensor)(nil).Float32s(); err == nil {
		t.Error("elements of no tensor")
	}
}

func TestParseDevice(t *testing.T) {
	for s, want := range map[string]Device{"cpu": {}, "cuda": {Kind: CUDA}, "cuda:3": {Kind: CUDA, Index: 3}} {
		if got, err := parseDevice(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "gpu", "cuda:", "cuda:-1", "cpu:0", "cuda:x"} {
		if d, err := parseDevice(s); err == nil || !strings.Contains(err.Error(), "want auto, cpu, cuda or cuda:N") {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
	if _, err := ParseDevice("auto"); err != nil {
		t.Error(err)
	}
	if _, err := ParseDevice("cuda:4096"); err == nil {
		t.Error("device cuda:4096 exists")
	}
}
