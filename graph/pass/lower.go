package pass

import (
	"fmt"
	"maps"
	"slices"

	"graft/graph"
)

// Target names what a lowered model will run on.
type Target string

// The targets of Lower.
const (
	Portable     Target = "portable"      // operators of ONNX alone, for any runtime
	CPU          Target = "cpu"           // ONNX Runtime's CPU provider
	OpenVINOBF16 Target = "openvino-bf16" // OpenVINO on a CPU, where it is asked for bfloat16; the graph stays in float32
	CUDA         Target = "cuda"          // ONNX Runtime's CUDA provider
	TensorRT     Target = "tensorrt"      // TensorRT, alone or as a provider
)

// LowerOptions says what Lower is to write.
type LowerOptions struct {
	Target Target      // "" is Portable
	Opset  int64       // version of the default operator set, 13 to 23; 0 is 17
	DType  graph.DType // Float, Float16 or BFloat16: what weights are stored in and products computed in; 0 is Float
}

// irVersions gives each opset the IR version of the ONNX release that brought it, so that a
// reader which knows the opset also knows the file (onnx docs/Versioning.md).
var irVersions = map[int64]int64{13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}

func (o LowerOptions) complete() (LowerOptions, error) {
	if o.Target == "" {
		o.Target = Portable
	}
	if o.Opset == 0 {
		o.Opset = 17
	}
	if o.DType == graph.Undefined {
		o.DType = graph.Float
	}
	if _, ok := lowerings[o.Target]; !ok {
		return o, fmt.Errorf("lower model: target %q is not known; known: %q", o.Target, slices.Sorted(maps.Keys(lowerings)))
	}
	if irVersions[o.Opset] == 0 {
		return o, fmt.Errorf("lower model: opset %d, want 13 to 23", o.Opset)
	}
	if o.DType != graph.Float && o.DType != graph.Float16 && o.DType != graph.BFloat16 {
		return o, fmt.Errorf("lower model: element type %v, want FLOAT, FLOAT16 or BFLOAT16", o.DType)
	}
	return o, nil
}

// Lower rewrites m from the operators of highest meaning into the form that o.Target runs
// fastest, written against o.Opset. Names of inputs, outputs and weights stay; a weight that is
// stored transposed is called "<weight>.T".
func Lower(m *graph.Model, o LowerOptions) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	if err := upgrade(m); err != nil {
		return fmt.Errorf("lower model: %w", err)
	}
	l := &lowerer{
		rewriter: newRewriter(m), LowerOptions: o,
		transposed: map[*graph.Value]*graph.Value{},
		split:      map[*graph.Value]*graph.Value{},
	}
	if err := l.apply(lowerings[o.Target]); err != nil {
		return fmt.Errorf("lower model: %w", err)
	}
	if err := m.Graph.Sort(); err != nil {
		return fmt.Errorf("lower model: %w", err)
	}
	if _, err := removeDead(m); err != nil {
		return fmt.Errorf("lower model: %w", err)
	}
	if o.DType != graph.Float {
		if err := narrowModel(m, o.DType); err != nil {
			return fmt.Errorf("lower model to %v: %w", o.DType, err)
		}
	}
	if err := downgrade(m, o.Opset); err != nil {
		return fmt.Errorf("lower model: %w", err)
	}
	m.SetOpset("", o.Opset)
	m.IRVersion = irVersions[o.Opset]
	if usesContrib(m) {
		m.SetOpset(graph.Microsoft, 1)
	}
	return nil
}

// lowerer holds what the lowerings of one model share.
type lowerer struct {
	*rewriter
	LowerOptions
	transposed map[*graph.Value]*graph.Value // weight -> its transpose
	split      map[*graph.Value]*graph.Value // [batch, seq, heads·size] -> the [batch, seq, heads, size] it was merged from
	late       map[*graph.Node]bool          // products whose weights are split, for OpenVINOBF16
}

// apply rewrites every node that the table has a rule for.
func (l *lowerer) apply(table []rule) error {
	rules := make(map[string]rule)
	for _, r := range table {
		rules[r.op] = r
	}
	return l.sweep(func(n *graph.Node) ([]*graph.Value, error) {
		r, ok := rules[n.Op]
		if !ok || !n.Is(n.Op) || r.native != 0 && l.Opset >= r.native {
			return nil, nil
		}
		out, err := r.lower(l, n)
		if out == nil {
			return nil, err
		}
		return []*graph.Value{out}, err
	})
}

func usesContrib(m *graph.Model) bool {
	found := false
	m.Graph.Walk(func(n *graph.Node) { found = found || n.Domain == graph.Microsoft })
	return found
}
