package ort

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var models = filepath.Join("..", "..", "testdata", "ort")

func runModel(t *testing.T, name string, inputs map[string]Array) map[string]Array {
	t.Helper()
	library(t, "cpu")
	s, err := Open(filepath.Join(models, name), nil, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.RunArrays(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRunArraysHalves covers outputs whose types Go lacks and whose shape is
// not known beforehand.
func TestRunArraysHalves(t *testing.T) {
	got := runModel(t, "halves.onnx", map[string]Array{
		"x": {Float, []int64{2, 3}, []float32{1, -2, 0.5, 65504, 0, 3}},
	})
	shape := []int64{2, 3}
	half := []byte{0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38, 0xff, 0x7b, 0, 0, 0x00, 0x42}
	want := map[string]Array{
		"half":  {Float16, shape, half},
		"same":  {Float16, shape, half},
		"brain": {BFloat16, shape, []byte{0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3f, 0x80, 0x47, 0, 0, 0x40, 0x40}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRunArraysScalar(t *testing.T) {
	got := runModel(t, "scalar.onnx", map[string]Array{"x": {Float, []int64{3}, []float32{1, 2, 4}}})
	if x, ok := got["sum"].Data.([]float32); !ok || len(x) != 1 || x[0] != 7 || len(got["sum"].Shape) != 0 {
		t.Errorf("got %+v", got["sum"])
	}
}

func TestRunArraysTypes(t *testing.T) {
	n := []int64{2}
	in := map[string]Array{
		"float":   {Float, n, []float32{1, -1}},
		"double":  {Double, n, []float64{1, -1}},
		"int64":   {Int64, n, []int64{1 << 40, -1}},
		"int32":   {Int32, n, []int32{1 << 20, -1}},
		"int16":   {Int16, n, []int16{1 << 10, -1}},
		"int8":    {Int8, n, []int8{127, -128}},
		"uint8":   {Uint8, n, []uint8{0, 255}},
		"uint16":  {Uint16, n, []uint16{0, 65535}},
		"uint32":  {Uint32, n, []uint32{0, 1 << 31}},
		"uint64":  {Uint64, n, []uint64{0, 1 << 63}},
		"bool":    {Bool, n, []bool{true, false}},
		"float16": {Float16, n, []byte{0, 0x3c, 0, 0xc0}},
	}
	want := map[string]Array{}
	for name, a := range in {
		want[name+"_out"] = a
	}
	if d := cmp.Diff(want, runModel(t, "types.onnx", in)); d != "" {
		t.Error(d)
	}
}

func TestDummyInputs(t *testing.T) {
	path := shared(t, "fixtures", "quant", "bert", "fp32.onnx")
	info, err := ReadInfo(path)
	if err != nil {
		t.Fatal(err)
	}
	in, err := info.DummyInputs(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	ones := Array{Int64, []int64{2, 3}, []int64{1, 1, 1, 1, 1, 1}}
	if d := cmp.Diff(map[string]Array{"input_ids": ones, "attention_mask": ones, "token_type_ids": ones}, in); d != "" {
		t.Error(d)
	}
	library(t, "cpu")
	s, err := Open(path, nil, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.RunArrays(context.Background(), in); err != nil {
		t.Error(err)
	}
}
