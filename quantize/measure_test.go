package quantize

import (
	"context"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"graft/graph"
	"graft/runtime/ort"
)

// bert is the golden BERT with its inputs and measurements through ONNX Runtime.
func bert(t *testing.T) (*graph.Model, map[string]ort.Array, Options) {
	t.Helper()
	inputs := bertInputs(t, openTensors(t, "bert", "tensors.safetensors"))
	vectors := func(_ context.Context, m *graph.Model) ([][]float32, error) {
		data := run(t, m, ort.OptimizeAll, inputs)["last_hidden_state"].Data.([]float32)
		var rows [][]float32
		for row := range slices.Chunk(data, 32) {
			rows = append(rows, row)
		}
		return rows, nil
	}
	return readModel(t, "bert", "fp32.onnx"), inputs, Options{Activations: replay{t: t, inputs: inputs}, Vectors: vectors}
}

func planned(t *testing.T, m *graph.Model, o Options) *Plan {
	t.Helper()
	p, err := New(context.Background(), m, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each scheme that rounds less loses less; none changes the graph that it is given.
func TestLosses(t *testing.T) {
	m, _, o := bert(t)
	before := m.Clone()
	limit := map[string]float64{"int8-static": 0.01, "int8-dynamic": 0.002, "int8-weight": 0.001, "int4-weight": 0.02, "fp16": 1e-5}
	for scheme, most := range limit {
		o.Scheme, o.Target = scheme, ""
		if scheme == "fp16" {
			o.Target = Portable
		}
		p := planned(t, m, o)
		if p.Loss == nil || !(*p.Loss <= most) {
			t.Errorf("%s: loss %v, want at most %g", scheme, p.Loss, most)
		}
		if p.After >= p.Before {
			t.Errorf("%s: %d bytes become %d", scheme, p.Before, p.After)
		}
	}
	if d := graph.Diff(before, m); len(d) > 0 {
		t.Errorf("the graph has changed: %v", d)
	}
}

func TestMaxLoss(t *testing.T) {
	m, _, o := bert(t)
	o.Scheme = "int4-weight"
	all := planned(t, m, o)
	o.MaxLoss = *all.Loss / 2
	p := planned(t, m, o)
	if !(*p.Loss <= o.MaxLoss) || len(p.Exclude) == 0 || len(p.Exclude) >= len(p.Layers) {
		t.Errorf("loss %g of at most %g with %q excluded", *p.Loss, o.MaxLoss, p.Exclude)
	}
	for _, l := range p.Layers {
		if kept := l.Error == nil; kept != slices.Contains(p.Exclude, l.Name) {
			t.Errorf("%s: %s, excluded are %q", l.Name, l.Form, p.Exclude)
		}
	}
}

func TestExclude(t *testing.T) {
	m, _, o := bert(t)
	o.Scheme, o.Exclude = "int8-weight", regexp.MustCompile(`layer\.0\.|embeddings`)
	for _, l := range planned(t, m, o).Layers {
		if l.Error != nil && o.Exclude.MatchString(l.Name) || l.Error == nil && !o.Exclude.MatchString(l.Name) {
			t.Errorf("%s: %s", l.Name, l.Form)
		}
	}
}

// Moving scale from activations to weights changes nothing but rounding in float32.
func TestSmoothingKeepsTheFunction(t *testing.T) {
	m, inputs, o := bert(t)
	want := run(t, m, ort.OptimizeAll, inputs)["last_hidden_state"].Data.([]float32)
	s, err := SchemeNamed("int8-static")
	if err != nil {
		t.Fatal(err)
	}
	o.Scheme, o.Target = s.Name, Portable
	j, err := newJob(context.Background(), m, s, o)
	if err != nil {
		t.Fatal(err)
	}
	found := smoothings(j.source.Graph)
	if len(found) != 2 { // the values of attention, in both layers
		t.Fatalf("%d values can be smoothed, want 2", len(found))
	}
	before := initializerOf(t, found[0].readers[0].weight)
	if err := j.smooth(); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(before, initializerOf(t, found[0].readers[0].weight)) {
		t.Error("no weight has changed")
	}
	near(t, "output", run(t, j.source, ort.OptimizeAll, inputs)["last_hidden_state"].Data.([]float32), want, 2e-5)
}

func initializerOf(t *testing.T, v *graph.Value) []float32 {
	t.Helper()
	x, err := v.Init.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(x)
}

// Padding does not count: what stands there is far out of range.
func TestCalibrationMasksPadding(t *testing.T) {
	m, inputs, o := bert(t)
	mask := slices.Clone(inputs["attention_mask"].Data.([]int64))
	full := slices.Clone(mask)
	for i := range full {
		full[i] = 1
	}
	limitsOf := func(mask []int64) map[string]limits {
		s, err := SchemeNamed("int8-static")
		if err != nil {
			t.Fatal(err)
		}
		o.Activations = replay{t: t, inputs: inputs, mask: mask}
		o.Target = Portable
		j, err := newJob(context.Background(), m, s, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.calibrate(); err != nil {
			t.Fatal(err)
		}
		return j.calibration.ranges
	}
	real, all := limitsOf(mask), limitsOf(full)
	narrower := 0
	for name, l := range real {
		if l.low < all[name].low || l.high > all[name].high {
			t.Errorf("%s: %v on real tokens, %v on all", name, l, all[name])
		}
		if l != all[name] {
			narrower++
		}
	}
	if narrower == 0 {
		t.Error("the mask made no difference")
	}
	o.Activations = replay{t: t, inputs: inputs, mask: make([]int64, len(mask))}
	o.Scheme, o.Target = "int8-static", ""
	if _, err := New(context.Background(), m, o); err == nil || !strings.Contains(err.Error(), "no tokens") {
		t.Errorf("without tokens: %v", err)
	}
}

// A few numbers far out are cut off by each method but minmax; of uniform numbers nothing much is.
func TestMethods(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	normal, uniform := make([]float32, 1<<18), make([]float32, 1<<18)
	for i := range normal {
		normal[i], uniform[i] = float32(r.NormFloat64()), 2*r.Float32()-1
	}
	normal[0] = 100
	for _, m := range Methods() {
		if m.choose == nil {
			continue
		}
		if l := chosen(m, normal); l.high > 80 || l.high < 2 || l.low > -2 {
			t.Errorf("%s: %v of normal numbers and 100", m.Name, l)
		}
		if l := chosen(m, uniform); l.high < 0.9 || l.low > -0.9 {
			t.Errorf("%s: %v of uniform numbers from -1 to 1", m.Name, l)
		}
	}
	for _, m := range Methods()[1:] { // of nothing but zeros
		if l := m.choose(newHistogram(limits{})); l != (limits{}) {
			t.Errorf("%s: %v of zeros", m.Name, l)
		}
	}
}

func chosen(m Method, x []float32) limits {
	var l limits
	for _, f := range x {
		l.include(f)
	}
	h := newHistogram(l)
	h.add(x)
	return m.choose(h)
}

func TestRefused(t *testing.T) {
	m, _, o := bert(t)
	o.Scheme = "int8-static"
	once := planned(t, m, o).Apply()
	if _, err := New(context.Background(), once, o); err == nil || !strings.Contains(err.Error(), "quantized already") {
		t.Errorf("twice: %v", err)
	}
	empty := &graph.Model{Opsets: []graph.Opset{{Version: 23}}, Graph: &graph.Graph{Name: "none"}}
	if _, err := New(context.Background(), empty, o); err == nil || !strings.Contains(err.Error(), "no products") {
		t.Errorf("an empty graph: %v", err)
	}
	inner := &graph.Graph{Nodes: []*graph.Node{graph.NewNode("MatMul", nil, nil)}}
	nested := &graph.Model{Opsets: []graph.Opset{{Version: 23}}, Graph: &graph.Graph{Nodes: []*graph.Node{graph.NewNode("If", nil, nil, graph.GraphAttr("then_branch", inner))}}}
	if _, err := New(context.Background(), nested, o); err == nil || !strings.Contains(err.Error(), "subgraph") {
		t.Errorf("a subgraph: %v", err)
	}
	o.Exclude = regexp.MustCompile(".")
	if _, err := New(context.Background(), m, o); err == nil || !strings.Contains(err.Error(), "every product is excluded") {
		t.Errorf("with everything excluded: %v", err)
	}
}

// Every scheme runs or says why not, and what to use, on every target.
func TestEveryTargetIsDecided(t *testing.T) {
	for _, s := range Schemes() {
		for _, target := range Targets() {
			_, err := s.target(target)
			if runs := slices.Contains(s.Targets, target); runs != (err == nil) {
				t.Errorf("%s on %s: %v", s.Name, target, err)
			} else if !runs && !strings.Contains(err.Error(), "use ") && !strings.Contains(err.Error(), "run it with") {
				t.Errorf("%s on %s: %v names nothing to use instead", s.Name, target, err)
			}
		}
	}
}
