package ort

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func openAdd(t *testing.T, o Options) *Session {
	t.Helper()
	library(t, "cpu")
	s, err := OpenBytes(addModel(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestAddModelIsSmall(t *testing.T) {
	if n := len(addModel()); n > 200 {
		t.Errorf("the self-test model has %d bytes", n)
	}
}

func TestSelfTestCPU(t *testing.T) {
	library(t, "cpu")
	p, err := ProviderNamed("cpu")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SelfTest(); err != nil {
		t.Error(err)
	}
	l, path, version, ok := Loaded()
	if !ok || l.Name != "cpu" || !strings.Contains(path, version) {
		t.Errorf("loaded %q %q %q %v", l.Name, path, version, ok)
	}
}

func TestLoadSecondLibrary(t *testing.T) {
	library(t, "openvino")
	openAdd(t, Options{})
	if err := Load("cpu"); err != nil {
		t.Errorf("loading the same library again: %v", err)
	}
	err := Load("openvino")
	if err == nil || !strings.Contains(err.Error(), "a process opens one") {
		t.Errorf("loading a second library: %v", err)
	}
}

func TestRunReusesTensors(t *testing.T) {
	s := openAdd(t, Options{Threads: 1})
	x, y := NewTensor[float32](), NewTensor[float32]()
	defer x.Close()
	defer y.Close()
	if err := s.Run(context.Background(), []Value{x}, []Value{y}); err == nil {
		t.Error("running with tensors that have no shape succeeded")
	}
	data, err := x.Resize(2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := y.Resize(2, 2); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		copy(data, []float32{1, 2, float32(i), -1})
		if err := s.Run(context.Background(), []Value{x}, []Value{y}); err != nil {
			t.Fatal(err)
		}
		if want := []float32{2, 4, float32(2 * i), -2}; !slices.Equal(y.Data(), want) {
			t.Errorf("run %d: got %v, want %v", i, y.Data(), want)
		}
	}
	again, err := x.Resize(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if &again[0] != &data[0] {
		t.Error("a smaller shape took new memory")
	}
	if _, err := x.Resize(-1, 2); err == nil {
		t.Error("a negative dimension was accepted")
	}
	if _, err := x.Resize(math.MaxInt64, 2); err == nil {
		t.Error("an overflowing shape was accepted")
	}
}

func TestRunConcurrently(t *testing.T) {
	s := openAdd(t, Options{Threads: 1})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			x, y := NewTensor[float32](), NewTensor[float32]()
			defer x.Close()
			defer y.Close()
			data, _ := x.Resize(2, 2)
			y.Resize(2, 2)
			for i := range 200 {
				data[0], data[3] = float32(g), float32(i)
				if err := s.Run(context.Background(), []Value{x}, []Value{y}); err != nil {
					t.Error(err)
					return
				}
				if y.Data()[0] != float32(2*g) || y.Data()[3] != float32(2*i) {
					t.Errorf("goroutine %d run %d: %v", g, i, y.Data())
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestRunCancelled(t *testing.T) {
	s := openAdd(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	in := map[string]Array{"x": {Float, []int64{2, 2}, make([]float32, 4)}}
	if _, err := s.RunArrays(ctx, in); err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := s.RunArrays(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestRunMistakes(t *testing.T) {
	s := openAdd(t, Options{})
	for name, in := range map[string]map[string]Array{
		`input "x" is not given`:         {},
		`the model has no input "z"`:     {"x": {Float, []int64{2, 2}, make([]float32, 4)}, "z": {}},
		`element type float needs`:       {"x": {Float, []int64{2, 2}, make([]int64, 4)}},
		`needs 4 elements, not 3`:        {"x": {Float, []int64{2, 2}, make([]float32, 3)}},
		`Got: 3 Expected: 2`:             {"x": {Float, []int64{3, 2}, make([]float32, 6)}},
		`Unexpected input data type`:     {"x": {Int64, []int64{2, 2}, make([]int64, 4)}},
		`element type type 99 is not su`: {"x": {Type: 99}},
	} {
		_, err := s.RunArrays(context.Background(), in)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), ".cc:")) {
			t.Errorf("not readable: %v", err)
		}
	}
	s.Close()
	if _, err := s.RunArrays(context.Background(), map[string]Array{"x": {Float, []int64{2, 2}, make([]float32, 4)}}); err == nil {
		t.Error("a closed session ran")
	}
}

func TestOpenMistakes(t *testing.T) {
	library(t, "cpu")
	dir := t.TempDir()
	model := addModel()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := file("whole.onnx", model)
	for _, c := range []struct {
		path    string
		outputs []string
		o       Options
		want    string
	}{
		{file("cut.onnx", model[:len(model)/2]), nil, Options{}, "not a whole ONNX file"},
		{file("empty.onnx", nil), nil, Options{}, "the file is empty"},
		{file("text.onnx", []byte("version https://git-lfs.github.com/spec/v1\n")), nil, Options{}, "ONNX file"},
		{dir, nil, Options{}, "it is a directory"},
		{filepath.Join(dir, "none.onnx"), nil, Options{}, "no such file"},
		{whole, []string{"z"}, Options{}, `no output "z" (it has y)`},
		{whole, nil, Options{Provider: "gpu"}, `unknown execution provider "gpu" (known: cpu, openvino, cuda, tensorrt)`},
		{whole, nil, Options{Precision: "bf16"}, `provider cpu has no precision "bf16" (it has f32)`},
		{whole, nil, Options{Optimization: "most"}, `unknown optimization level "most"`},
		{whole, nil, Options{ProviderOptions: map[string]string{"a": "b"}}, "provider cpu: it takes no options, got a"},
		{file("op.onnx", []byte(strings.Replace(string(model), "Add", "Adc", 1))), nil, Options{}, "Adc"},
	} {
		_, err := Open(c.path, c.outputs, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %+v: want %q, got %v", filepath.Base(c.path), c.o, c.want, err)
		} else if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), ".cc:") {
			t.Errorf("not readable: %v", err)
		}
	}
}

// TestOpenCorrupt flips bytes of a real model: each must open or fail with an
// error, never end the process.
func TestOpenCorrupt(t *testing.T) {
	library(t, "cpu")
	model, err := os.ReadFile(shared(t, "fixtures", "quant", "linear", "fp32.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(model); i += 1 + len(model)/300 {
		bad := slices.Clone(model)
		bad[i] ^= 0xff
		if s, err := OpenBytes(bad, nil, Options{Threads: 1}); err == nil {
			s.Close()
		}
	}
}

func TestOptimizedModel(t *testing.T) {
	out := filepath.Join(t.TempDir(), "optimized.onnx")
	openAdd(t, Options{OptimizedModel: out, Optimization: OptimizeBasic, Spinning: true})
	info, err := ReadInfo(out)
	if err != nil {
		t.Fatal(err)
	}
	if info.Nodes != 1 {
		t.Errorf("the optimized model has %d nodes", info.Nodes)
	}
}
