package pass

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"graft/graph"
)

// RaiseReport counts what Raise found.
type RaiseReport struct {
	// Raised counts the nodes that were made, by operator; "mask" are attention masks that
	// became bool.
	Raised map[string]int
	// Left counts what looks like a part of an operator and was not matched, by operator:
	// Softmax is attention, Erf and Tanh are GELU, Sqrt is a norm, "mask" are masks that hide keys
	// by other numbers than Lower's, such as −3.4e38, which not every precision bears.
	Left map[string]int
	// Kept says why the model was left whole, written against an opset that cannot be carried
	// over; nil where it was not.
	Kept error
}

// String lists what was raised and what was left.
func (r RaiseReport) String() string {
	list := func(counts map[string]int) string {
		var parts []string
		for _, op := range slices.Sorted(maps.Keys(counts)) {
			if counts[op] > 0 {
				parts = append(parts, fmt.Sprintf("%s %d", op, counts[op]))
			}
		}
		if parts == nil {
			return "nothing"
		}
		return strings.Join(parts, ", ")
	}
	text := list(r.Raised) + "; not recognized: " + list(r.Left)
	if r.Kept != nil {
		text += fmt.Sprintf(" (%v)", r.Kept)
	}
	return text
}

// telling are the operators that are left where a formula was not matched.
var telling = []string{"Softmax", "Erf", "Tanh", "Sqrt", "ReduceMean"}

// Raise finds layers that an exporter wrote as many nodes, or as operators of com.microsoft, and
// makes them single nodes: LayerNormalization, RMSNormalization, Gelu, RotaryEmbedding and
// Attention. Masks that add a large negative number become bool inputs of Attention, so that
// Lower can write them with a number that is safe in every precision. What is not matched stays
// as it is. m is in the IR's form afterwards: Lower before writing it.
func Raise(m *graph.Model) (RaiseReport, error) {
	report := RaiseReport{Raised: map[string]int{}, Left: map[string]int{}}
	raised := m.Clone()
	if err := upgrade(raised); err != nil {
		report.Kept = err
		report.count(m)
		return report, nil
	}
	if err := prepare(raised); err != nil {
		return report, err
	}
	for _, step := range raiseSteps {
		r := &raiser{rewriter: newRewriter(raised), report: &report}
		if err := r.sweep(func(n *graph.Node) ([]*graph.Value, error) { return step.raise(r, n), nil }); err != nil {
			return report, fmt.Errorf("raise %s: %w", step.name, err)
		}
		if err := raised.Graph.Sort(); err != nil {
			return report, fmt.Errorf("raise %s: %w", step.name, err)
		}
		if _, err := removeDead(raised); err != nil {
			return report, fmt.Errorf("raise %s: %w", step.name, err)
		}
		if err := graph.Infer(raised); err != nil {
			return report, fmt.Errorf("raise %s: %w", step.name, err)
		}
	}
	*m = *raised
	report.count(m)
	return report, nil
}

// prepare removes what stands between the nodes of a formula and says nothing: casts to the type that is there, and the
// arithmetic of shapes. Weights keep their names, so that nothing else is folded.
func prepare(m *graph.Model) error {
	dropZeroBiases(m)
	if err := repeat(m, Forward, Reshapes, foldSizes, Branches); err != nil {
		return fmt.Errorf("prepare to raise: %w", err)
	}
	if err := widen(m); err != nil {
		return fmt.Errorf("prepare to raise: %w", err)
	}
	_, err := removeDead(m)
	return err
}

// count fills in what was left.
func (r *RaiseReport) count(m *graph.Model) {
	m.Graph.Walk(func(n *graph.Node) {
		for _, op := range telling {
			if n.Is(op) {
				r.Left[op]++
			}
		}
		if n.Domain == graph.Microsoft {
			r.Left[n.Domain+"."+n.Op]++
		}
		if n.Is("Attention") && hidesByNumber(n.Input(3)) {
			r.Left["mask"]++
		}
	})
}

// raiser is the state of one step.
type raiser struct {
	*rewriter
	report    *RaiseReport
	maskSteps int // nodes looked at for the present mask
}

// raiseStep looks at every node, a result's before what it is made from are gone, and returns
// what stands for its outputs; nil where it does not match.
type raiseStep struct {
	name  string
	raise func(*raiser, *graph.Node) []*graph.Value
}

// raiseSteps run in this order: each sees what those before it made, and a formula comes
// before the formulas that are parts of it.
var raiseSteps = []raiseStep{
	{"operators of com.microsoft", raiseContrib},
	{"sizes of inputs", raiseSizes},
	{"LayerNormalization", formula("LayerNormalization", layerNorm, raiseLayerNorm)},
	{"LayerNormalization without bias", formula("LayerNormalization", layerNormGain, raiseLayerNorm)},
	{"RMSNormalization", formula("RMSNormalization", rmsNorm, raiseRMSNorm)},
	{"Gelu", formula("Gelu", geluErf, raiseGeluErf)},
	{"Gelu by tanh", formula("Gelu", geluTanh, raiseGeluTanh)},
	{"tokens in a row", raiseRows},
	{"queries, keys and values of one product", raisePacked},
	{"Transpose by rows", raiseTranspose},
	{"heads in a row", raiseHeadRows},
	{"norms of heads", raiseHeadNorm},
	{"RotaryEmbedding", raiseRotary},
	{"RotaryEmbedding by halves", raiseHalves},
	{"Split of features", raiseSplit},
	{"Attention of merged heads", raiseMergedAttention},
	{"Attention", raiseAttention},
	{"Attention of heads apart", raiseHeads},
	{"Attention to constant keys", raiseConstantKeys},
	{"attention masks", raiseMask},
}

// formula is the step that makes one node of every match of p.
func formula(op string, p pattern, make func(*raiser, *bindings) *graph.Value) func(*raiser, *graph.Node) []*graph.Value {
	return func(r *raiser, n *graph.Node) []*graph.Value {
		b := new(bindings)
		if len(n.Outputs) == 0 || n.Is("Identity") || n.Is("Cast") || n.Is("Dropout") || !p(n.Outputs[0], b) {
			return nil
		}
		r.report.Raised[op]++
		return []*graph.Value{make(r, b)}
	}
}

// Total is the number of nodes raised.
func (r RaiseReport) Total() int {
	total := 0
	for n := range maps.Values(r.Raised) {
		total += n
	}
	return total
}
