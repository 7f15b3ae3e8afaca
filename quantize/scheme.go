package quantize

import (
	"fmt"
	"slices"
	"strings"

	"graft/graph"
	"graft/graph/pass"
)

// Target is what a quantized graph will run on.
type Target string

// The targets of New.
const (
	Portable Target = "portable" // the cpu and openvino providers alike, operators of ONNX alone
	CPU      Target = "cpu"      // ONNX Runtime's CPU provider
	OpenVINO Target = "openvino" // ONNX Runtime's OpenVINO provider
	CUDA     Target = "cuda"     // ONNX Runtime's CUDA provider
	TensorRT Target = "tensorrt" // TensorRT, alone or as a provider
)

// lowered is the form that a target's graph is lowered to before it is quantized.
var lowered = map[Target]pass.Target{
	Portable: pass.Portable, CPU: pass.CPU, OpenVINO: pass.Portable, CUDA: pass.CUDA, TensorRT: pass.TensorRT,
}

// Targets lists the targets.
func Targets() []Target { return []Target{Portable, CPU, OpenVINO, CUDA, TensorRT} }

// Scheme is a way to store weights and to compute products.
type Scheme struct {
	Name    string
	Doc     string   // one line
	Aliases []string // the reference's spellings
	Targets []Target // it runs as meant; the first is the default

	refusals map[Target]string // why it does not run as meant on the others, and what to use
	dtype    graph.DType       // of a graph that is lowered to 16 bits, and nothing else
	opset    map[Target]int64  // of the graph, where it is not the default
	measure  func(*job) error  // what it wants to know of activations; nil: nothing
	blind    bool              // it does without, with more loss
	smooths  bool              // it rounds activations, in ranges that Options.Method chooses
	cutRows  bool              // embeddings have a scale for each block of a row
	apply    func(*job) error  // rewrites the graph; nil: lowering did all
}

// schemes are all of them.
var schemes = []Scheme{
	{
		Name: "int8-static", Doc: "products on int8 with ranges of activations from calibration texts; weights int8 per output channel",
		Targets: []Target{Portable, OpenVINO, CPU, TensorRT}, measure: measureLimits, smooths: true, apply: applyStatic,
		refusals: map[Target]string{
			CUDA: "the CUDA provider has no kernel for quantized products and would compute them in float32, slower than before; use fp16, int8-weight, or --target tensorrt",
		},
	},
	{
		Name: "int8-dynamic", Doc: "products on int8 with a range for each token, taken as it runs; weights int8 per output channel",
		Targets: []Target{CPU}, apply: applyDynamic,
		refusals: map[Target]string{
			Portable: "OpenVINO runs dynamically quantized graphs slower than float32; use int8-static, or --target cpu",
			OpenVINO: "OpenVINO runs dynamically quantized graphs slower than float32; use int8-static",
			CUDA:     "the CUDA provider has no dynamically quantized products; use fp16 or int8-weight",
			TensorRT: "TensorRT has no dynamically quantized products; use int8-static",
		},
	},
	{
		Name: "int8-weight", Doc: "weights int8, corrected on calibration texts (GPTQ), products in float32", Aliases: []string{"weight_only_int8"},
		Targets: []Target{CPU, CUDA, OpenVINO, TensorRT}, measure: (*job).measureGrams, blind: true, cutRows: true, apply: applyWeight8,
		refusals: map[Target]string{
			Portable: "ONNX Runtime's CPU provider would round activations to 8 bits too where it finds a weight behind DequantizeLinear; use --target cpu or --target openvino",
		},
	},
	{
		Name: "int4-weight", Doc: "weights int4 in blocks, corrected on calibration texts (GPTQ), products in float32", Aliases: []string{"weight_only_int4"},
		Targets: []Target{CPU, CUDA, TensorRT}, measure: (*job).measureGrams, blind: true, apply: applyWeight4,
		opset: map[Target]int64{TensorRT: 21}, // INT4 and blocked DequantizeLinear came with it
		refusals: map[Target]string{
			Portable: "ONNX Runtime's CPU provider would round activations to 8 bits too where it finds a weight behind DequantizeLinear; use --target cpu",
			OpenVINO: "OpenVINO has no MatMulNBits; use int8-weight or int8-static",
		},
	},
	{
		Name: "fp16", Doc: "weights and products in float16; norms, softmax and the residual stream in float32", dtype: graph.Float16,
		Targets: []Target{CUDA, TensorRT, Portable},
		refusals: map[Target]string{
			CPU:      "the CPU provider has no float16 products and would convert at each; use int8-static or int8-weight",
			OpenVINO: "OpenVINO computes a float32 graph in 16 bits where it is asked to: run it with --precision bf16",
		},
	},
	{
		Name: "bf16", Doc: "weights and products in bfloat16; norms, softmax and the residual stream in float32", dtype: graph.BFloat16,
		Targets: []Target{CUDA, TensorRT},
		refusals: map[Target]string{
			Portable: "the CPU provider does not run bfloat16; use fp16",
			CPU:      "the CPU provider does not run bfloat16; use int8-static or int8-weight",
			OpenVINO: "OpenVINO computes a float32 graph in 16 bits where it is asked to: run it with --precision bf16",
		},
	},
}

// Schemes lists the schemes.
func Schemes() []Scheme { return slices.Clone(schemes) }

// SchemeNamed finds a scheme by its name or the reference's spelling.
func SchemeNamed(name string) (Scheme, error) {
	var known []string
	for _, s := range schemes {
		if s.Name == name || slices.Contains(s.Aliases, name) {
			return s, nil
		}
		known = append(known, s.Name)
	}
	return Scheme{}, fmt.Errorf("unknown scheme %q (known: %s)", name, strings.Join(known, ", "))
}

// Calibrates reports whether s needs activations.
func (s Scheme) Calibrates() bool { return s.measure != nil && !s.blind }

// method is the method of calibration that s uses, "" for none.
func (s Scheme) method(o Options) string {
	if !s.smooths {
		return ""
	}
	if o.Method == "" {
		return methods[0].Name
	}
	return o.Method
}

// target settles what the graph is written for; it refuses where s would not run as meant.
func (s Scheme) target(t Target) (Target, error) {
	switch {
	case t == "":
		return s.Targets[0], nil
	case slices.Contains(s.Targets, t):
		return t, nil
	case s.refusals[t] != "":
		return "", &TargetError{Scheme: s.Name, Target: t, Reason: s.refusals[t]}
	}
	return "", fmt.Errorf("unknown target %q (known: %q)", t, Targets())
}

// TargetError says that a scheme would not run as meant on a target.
type TargetError struct {
	Scheme string
	Target Target
	Reason string // and what to use
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("%s does not run as meant on %s: %s", e.Scheme, e.Target, e.Reason)
}
