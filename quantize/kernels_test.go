package quantize

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"graft/graph/onnx"
	"graft/runtime/ort"
)

// written is a quantized fixture as a file, the number of its products with weights, and inputs for it.
func written(t *testing.T, scheme string, target Target) (path string, products int, inputs map[string]ort.Array) {
	t.Helper()
	m, inputs, o := bert(t)
	o.Scheme, o.Target = scheme, target
	p := planned(t, m, o)
	for _, l := range p.Layers {
		if l.Kind == "MatMul" && l.Error != nil {
			products++
		}
	}
	if products == 0 {
		t.Fatal("nothing is quantized")
	}
	path = filepath.Join(t.TempDir(), "model.onnx")
	if err := onnx.Write(path, p.Apply(), onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	return path, products, inputs
}

// The CPU provider computes each quantized product with a kernel for it: none is left to a product of float32
// behind DequantizeLinear.
func TestCPUKernels(t *testing.T) {
	for _, test := range []struct {
		scheme string
		target Target
		kernel []string // one of these for each product
	}{
		{"int8-static", Portable, []string{"MatMulIntegerToFloat"}},
		{"int8-static", CPU, []string{"MatMulIntegerToFloat"}},
		{"int8-dynamic", CPU, []string{"MatMulInteger", "MatMulIntegerToFloat"}},
		{"int8-weight", CPU, []string{"MatMulNBits"}},
		{"int4-weight", CPU, []string{"MatMulNBits"}},
	} {
		t.Run(test.scheme+"/"+string(test.target), func(t *testing.T) {
			path, products, inputs := written(t, test.scheme, test.target)
			placed, err := ort.Placements(path, ort.Options{Threads: 1}, inputs)
			if err != nil {
				t.Fatal(err)
			}
			ran := map[string]int{}
			for _, p := range placed {
				ran[p.Op]++
			}
			quantized := 0
			for _, op := range test.kernel {
				quantized += ran[op]
			}
			if quantized != products {
				t.Errorf("%d of %d products ran as %q; all nodes: %v", quantized, products, test.kernel, ran)
			}
			if n := ran["DequantizeLinear"]; n > 0 {
				t.Errorf("%d nodes widen at run time: %v", n, ran)
			}
		})
	}
}

// kernelChild is the path of the file that a test's own process is to run.
const kernelChild = "GRAFT_QUANTIZE_TEST_CHILD"

// executed is a product with a weight in oneDNN's log, with the element types that it read.
var executed = regexp.MustCompile(`primitive,exec,cpu,inner_product,[^,]*,[^,]*,src:(\w+):\S* wei:(\w+):`)

// OpenVINO computes each quantized product in 8-bit integers: oneDNN, whose kernels it runs, logs each of them where
// it is asked to. It runs in a process of its own, as a process opens one ONNX Runtime library.
func TestOpenVINOKernels(t *testing.T) {
	if path := os.Getenv(kernelChild); path != "" {
		_, inputs, _ := bert(t)
		s, err := ort.Open(path, nil, openVINO(t))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.RunArrays(t.Context(), inputs); err != nil {
			t.Fatal(err)
		}
		return
	}
	openVINO(t)
	path, products, _ := written(t, "int8-static", OpenVINO)
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), kernelChild+"="+path, "ONEDNN_VERBOSE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ran := map[string]int{}
	for _, match := range executed.FindAllSubmatch(out, -1) {
		ran[string(match[1])+"·"+string(match[2])]++
	}
	if ran["u8·s8"] != products || len(ran) != 1 {
		t.Errorf("%d products with weights ran as %v", products, ran)
	}
}

// openVINO are the options of its provider; without it the test is skipped.
func openVINO(t *testing.T) ort.Options {
	t.Helper()
	p, err := ort.ProviderNamed("openvino")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Missing()...); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return ort.Options{Provider: "openvino", Threads: 1}
}
