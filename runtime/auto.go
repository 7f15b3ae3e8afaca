package runtime

import (
	"errors"
	"fmt"

	"golang.org/x/sys/cpu"

	"graft/graph"
	"graft/runtime/ort"
)

// Auto is the provider name that lets Choose decide.
const Auto = "auto"

// Choose picks the provider that runs m fastest among those that are here and have the precision,
// and says why. The order is measured: docs/benchmarks.md.
func Choose(m *graph.Model, precision string) (name, reason string) {
	offers := func(provider string) bool {
		_, ok := forms[provider].precisions[precision]
		return ok
	}
	if offers("cuda") && usable("cuda") == nil {
		return "cuda", "a CUDA device and its libraries are here"
	}
	if !offers("openvino") {
		return "cpu", fmt.Sprintf("openvino has no precision %s", precision)
	}
	if err := usable("openvino"); err != nil {
		return "cpu", fmt.Sprintf("openvino is not usable here: %v", err)
	}
	if !cpu.X86.HasAVX512VNNI && !cpu.X86.HasAVXVNNI && !cpu.X86.HasAMXBF16 {
		return "cpu", "this CPU has neither VNNI nor AMX, which openvino is faster with"
	}
	if op := slowOnOpenVINO(m); op != "" {
		return "cpu", fmt.Sprintf("the graph has %s nodes, which openvino runs slowly", op)
	}
	return "openvino", "this CPU has VNNI or AMX"
}

// usable says what a provider lacks here; nil where nothing.
func usable(name string) error {
	p, err := ort.ProviderNamed(name)
	if err != nil {
		return err
	}
	return errors.Join(p.Missing()...)
}

// slowOnOpenVINO names an operator of m that the CPU provider runs well and OpenVINO does not.
func slowOnOpenVINO(m *graph.Model) string {
	slow := map[string]bool{
		"DynamicQuantizeLinear": true, "MatMulInteger": true, "MatMulNBits": true,
		"DynamicQuantizeMatMul": true, "MatMulIntegerToFloat": true, "GatherBlockQuantized": true,
	}
	found := ""
	m.Graph.Walk(func(n *graph.Node) {
		if slow[n.Op] {
			found = n.Op
		}
	})
	return found
}
