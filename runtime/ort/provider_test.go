package ort

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
)

func TestProviderTable(t *testing.T) {
	for _, p := range Providers() {
		if p.Name == "" || p.EP == "" || p.Doc == "" || p.add == nil || len(p.Precisions) == 0 {
			t.Errorf("row %q is not whole: %+v", p.Name, p)
		}
		if p.Library == "" {
			continue
		}
		if _, err := libraryNamed(p.Library); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// here skips when the provider cannot run here. Only the CUDA library is not
// part of every set-up.
func here(t *testing.T, p Provider) {
	t.Helper()
	absent := p.Missing()
	if len(absent) > 0 && p.Library == "cuda" {
		t.Skipf("missing: %v", absent)
	}
	if len(absent) > 0 {
		missing(t, "%v", absent)
	}
}

// TestSelfTest runs the one-node model on each provider that is here, each in
// a process of its own; one that is not here must name what is missing.
func TestSelfTest(t *testing.T) {
	for _, p := range Providers() {
		t.Run(p.Name, func(t *testing.T) {
			here(t, p)
			if !process(t) {
				return
			}
			if err := p.SelfTest(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSignalStack opens a session on each provider that is here: the thread
// must keep the signal stack that Go gave it.
func TestSignalStack(t *testing.T) {
	for _, p := range Providers() {
		t.Run(p.Name, func(t *testing.T) {
			here(t, p)
			if !process(t) {
				return
			}
			goruntime.LockOSThread()
			defer goruntime.UnlockOSThread()
			stack := signalStack()
			s, err := OpenBytes(addModel(), nil, Options{Provider: p.Name})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if stack == 0 || signalStack() != stack {
				t.Error("the provider replaced the thread's signal stack")
			}
		})
	}
}

func TestMissingNamesLibraries(t *testing.T) {
	library(t, "cpu")
	for _, c := range []struct{ provider, want string }{
		{"cuda", "onnxruntime library \"cuda\""},
		{"tensorrt", "onnxruntime library \"cuda\""},
	} {
		p, err := ProviderNamed(c.provider)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (Library{Name: "cuda", Dir: "ort-cuda"}).Path(); err == nil {
			t.Skip("the CUDA library is here")
		}
		_, err = OpenBytes(addModel(), nil, Options{Provider: p.Name})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.provider, err)
		}
	}
}

// TestMissingDependency gives a provider library that needs shared libraries
// which no system has.
func TestMissingDependency(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(NativeEnv, dir)
	t.Setenv(LibraryEnv, "")
	cuda := filepath.Join(dir, "ort-cuda")
	if err := os.MkdirAll(cuda, 0o755); err != nil {
		t.Fatal(err)
	}
	p, _ := ProviderNamed("cuda")
	if err := os.WriteFile(filepath.Join(cuda, "libonnxruntime.so.1.30.0"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.check(); err == nil || !strings.Contains(err.Error(), "libonnxruntime_providers_cuda.so is missing (run make setup DEVICE=cuda)") {
		t.Errorf("no provider library: %v", err)
	}
	lib := filepath.Join(cuda, "libonnxruntime_providers_cuda.so")
	buildShared(t, lib, "cublasLt", 13)
	err := p.check()
	if err == nil || !strings.Contains(err.Error(), "libcublasLt.so.13 is missing (run make setup DEVICE=cuda, or install CUDA 13)") {
		t.Errorf("missing dependency: %v", err)
	}
	if err := os.WriteFile(lib, []byte(strings.Repeat("not a library", 9)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.check(); err == nil || !strings.Contains(err.Error(), "bad magic number") {
		t.Errorf("broken library: %v", err)
	}
}

func TestLibraryTooOldOrBroken(t *testing.T) {
	if !process(t) {
		return
	}
	broken := filepath.Join(t.TempDir(), "libonnxruntime.so.1")
	if err := os.WriteFile(broken, []byte(strings.Repeat("not a library", 9)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(LibraryEnv, broken)
	if err := Load("cpu"); err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("broken library: %v", err)
	}
	t.Setenv(LibraryEnv, filepath.Join(t.TempDir(), "none.so"))
	if err := Load("cpu"); err == nil || !strings.Contains(err.Error(), LibraryEnv) {
		t.Errorf("no library: %v", err)
	}
	t.Setenv(LibraryEnv, "")
	t.Setenv(NativeEnv, "")
	saved := NativeDir
	defer func() { NativeDir = saved }()
	NativeDir = ""
	if err := Load("cpu"); err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("no native directory: %v", err)
	}
}

func bertInputs(batch, seq int64) map[string]Array {
	n := int(batch * seq)
	ids, mask, types := make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range ids {
		ids[i], mask[i] = int64(5+i%50), 1
	}
	shape := []int64{batch, seq}
	return map[string]Array{
		"input_ids":      {Int64, shape, ids},
		"attention_mask": {Int64, shape, mask},
		"token_type_ids": {Int64, shape, types},
	}
}

// openVINORun loads the OpenVINO library and runs a model once.
func openVINORun(t *testing.T, model string, o Options, in map[string]Array) []float32 {
	t.Helper()
	if err := Load("openvino"); err != nil {
		t.Fatal(err)
	}
	s, err := Open(model, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.RunArrays(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out[s.Outputs[0]].Data.([]float32)
}

// TestOpenVINO compares both providers of the OpenVINO library on an encoder.
func TestOpenVINO(t *testing.T) {
	model := shared(t, "fixtures", "quant", "bert", "fp32.onnx")
	library(t, "openvino")
	if !process(t) {
		return
	}
	for _, shape := range [][2]int64{{1, 5}, {3, 16}, {2, 9}} {
		in := bertInputs(shape[0], shape[1])
		want := openVINORun(t, model, Options{Provider: "cpu"}, in)
		got := openVINORun(t, model, Options{Provider: "openvino"}, in)
		if d := maxDifference(want, got); !(d < 2e-5) {
			t.Errorf("shape %v: f32 differs by %g", shape, d)
		}
	}
	placed, err := Placements(model, Options{Provider: "openvino"}, bertInputs(2, 4))
	if err != nil {
		t.Fatal(err)
	}
	if n := CountByProvider(placed); n["OpenVINOExecutionProvider"] == 0 || n["CPUExecutionProvider"] != 0 {
		t.Errorf("placements: %v", placed)
	}
}

// TestOpenVINOPrecision checks that f32 and bf16 are what they say: x @ w + b
// in bf16 is near, and not equal.
func TestOpenVINOPrecision(t *testing.T) {
	model := shared(t, "fixtures", "quant", "linear", "fp32.onnx")
	library(t, "openvino")
	if !process(t) {
		return
	}
	x := make([]float32, 3*64)
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	in := map[string]Array{"x": {Float, []int64{3, 64}, x}}
	want := openVINORun(t, model, Options{}, in)
	if d := maxDifference(want, openVINORun(t, model, Options{Provider: "openvino"}, in)); !(d < 2e-5) {
		t.Errorf("f32 differs by %g", d)
	}
	d := maxDifference(want, openVINORun(t, model, Options{Provider: "openvino", Precision: "bf16"}, in))
	if !(d < 0.1) {
		t.Errorf("bf16 differs by %g", d)
	}
	if d < 1e-4 && hasBF16() {
		t.Errorf("bf16 differs by %g only: it was not bf16", d)
	}
}

// hasBF16 reports whether OpenVINO computes in bf16 on this processor.
func hasBF16() bool {
	flags, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && (strings.Contains(string(flags), "avx512_bf16") || strings.Contains(string(flags), "amx_bf16"))
}

func TestOpenVINOOptions(t *testing.T) {
	model := shared(t, "fixtures", "quant", "linear", "fp32.onnx")
	library(t, "openvino")
	if !process(t) {
		return
	}
	for want, options := range map[string]map[string]string{
		`unknown option "no_such"`:     {"no_such": "1"},
		"option load_config":           {"load_config": "{"},
		"refuses the value":            {"precision": "f99"},
		"Unsupported property NO_SUCH": {"load_config": `{"CPU":{"NO_SUCH":"1"}}`},
	} {
		_, err := Open(model, nil, Options{Provider: "openvino", ProviderOptions: options})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: want %q, got %v", options, want, err)
		}
	}
	cache := t.TempDir()
	s, err := Open(model, nil, Options{Provider: "openvino", Threads: 1, ProviderOptions: map[string]string{"cache_dir": cache}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if files, _ := filepath.Glob(filepath.Join(cache, "*.blob")); len(files) == 0 {
		t.Error("cache_dir holds no compiled model")
	}
}

// TestOpenVINOFallback has a node that OpenVINO cannot run: an error, unless
// fallback is allowed, and then the profile says where it ran.
func TestOpenVINOFallback(t *testing.T) {
	library(t, "openvino")
	if !process(t) {
		return
	}
	model := filepath.Join(models, "mixed.onnx")
	in := map[string]Array{"x": {Float, []int64{1, 4, 4}, make([]float32, 16)}}
	if err := Load("openvino"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(model, nil, Options{Provider: "openvino"})
	if err == nil || !strings.Contains(err.Error(), "does not run all of the graph") {
		t.Errorf("without AllowFallback: %v", err)
	}
	placed, err := Placements(model, Options{Provider: "openvino", AllowFallback: true}, in)
	if err != nil {
		t.Fatal(err)
	}
	if n := CountByProvider(placed); n["CPUExecutionProvider"] != 1 || n["OpenVINOExecutionProvider"] != 1 {
		t.Errorf("placements: %v", n)
	}
}

func TestPlacementsCPU(t *testing.T) {
	library(t, "cpu")
	placed, err := Placements(shared(t, "fixtures", "quant", "bert", "fp32.onnx"), Options{Optimization: OptimizeOff}, bertInputs(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	info, err := ReadInfo(shared(t, "fixtures", "quant", "bert", "fp32.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	n := CountByProvider(placed)
	text, _ := json.Marshal(n)
	t.Logf("%s of %d nodes in the file", text, info.Nodes)
	if n["CPUExecutionProvider"] == 0 || len(n) != 1 || n["CPUExecutionProvider"] > info.Nodes {
		t.Errorf("placements: %s", text)
	}
	openvino, _ := ProviderNamed("openvino")
	if fallen := Fallback(placed, openvino); len(fallen) == 0 || len(fallen) == len(placed) {
		t.Errorf("%d of %d nodes count as computing", len(fallen), len(placed))
	}
	if fallen := Fallback(placed, providers[0]); fallen != nil {
		t.Errorf("fallback from cpu to cpu: %v", fallen)
	}
	if !slices.ContainsFunc(placed, func(p Placement) bool { return p.Op == "MatMul" }) {
		t.Error("no MatMul among the placements")
	}
}

func maxDifference(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.NaN()
	}
	var m float64
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if d > m || math.IsNaN(d) {
			m = d
		}
	}
	return m
}
