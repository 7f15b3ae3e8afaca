package quantize

import (
	"context"
	"slices"
	"strings"
	"testing"

	"graft/graph"
	"graft/runtime/ort"
)

func TestOutliers(t *testing.T) {
	features := make([]limits, 2*outlierShare)
	for i := range features {
		features[i] = limits{-1, 0.5}
	}
	if got := outliers(features); got != nil {
		t.Errorf("like features: %v go apart", got)
	}
	features[7].high, features[9].low, features[11].high = 90, -50, 70
	if got := outliers(features); !slices.Equal(got, []int{7, 11}) {
		t.Errorf("%v go apart, want the largest two, of which there may be two", got)
	}
	if got := span(features, []int{7, 11}); got != (limits{-50, 0.5}) {
		t.Errorf("the range of the others is %v", got)
	}
	if got := outliers(features[:outlierShare-1]); got != nil {
		t.Errorf("too few features: %v go apart", got)
	}
}

func TestWithout(t *testing.T) {
	row := []float32{0, 1, 2, 3, 4}
	for _, c := range []struct {
		features []int
		want     []float32
	}{{nil, row}, {[]int{0, 2, 4}, []float32{1, 3}}, {[]int{3}, []float32{0, 1, 2, 4}}} {
		if got := without(row, c.features); !slices.Equal(got, c.want) {
			t.Errorf("without %v: %v", c.features, got)
		}
	}
}

// outlying is the golden BERT with a neuron in each layer that reaches far more than the others, but says as much.
func outlying(t *testing.T) (*graph.Model, map[string]ort.Array, Options) {
	t.Helper()
	m, inputs, o := bert(t)
	const neuron, factor = 5, 100
	for _, w := range matrices(m.Graph) {
		data := initializerOf(t, w.weight)
		for i := range data {
			switch {
			case w.n > w.k && i%w.n == neuron:
				data[i] *= factor
			case w.k > w.n && i/w.n == neuron:
				data[i] /= factor
			}
		}
		w.weight.Init = graph.NewTensor(w.weight.Name, data, w.weight.Init.Shape...)
	}
	return m, inputs, o
}

// One range for all neurons loses what most of them say where one goes far beyond the others; taking that one apart does not.
func TestOutliersAreTakenApart(t *testing.T) {
	m, _, o := outlying(t)
	o.Scheme = "int8-static"
	for _, method := range Methods() {
		o.Method = method.Name
		p := planned(t, m, o)
		apart := 0
		for _, l := range p.Layers {
			if strings.HasSuffix(l.Form, ", 1 of 64 features in float32") {
				apart++
			}
		}
		if apart != 2 {
			t.Errorf("%s: outliers of %d products are taken apart, want both layers'", o.Method, apart)
		}
		if !(*p.Loss < 0.01) {
			t.Errorf("%s: loss %g", o.Method, *p.Loss)
		}
	}
	s, err := SchemeNamed("int8-static")
	if err != nil {
		t.Fatal(err)
	}
	o.Target, o.Method = Portable, ""
	j, err := newJob(context.Background(), m, s, o)
	if err != nil {
		t.Fatal(err)
	}
	j.apart = true
	before, err := o.Vectors(context.Background(), j.source)
	if err != nil {
		t.Fatal(err)
	}
	loss := func() float64 {
		t.Helper()
		if err := j.attempt(); err != nil {
			t.Fatal(err)
		}
		l, err := j.loss(before)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if err := j.calibrate(); err != nil {
		t.Fatal(err)
	}
	apart := loss()
	for _, m := range matrices(j.source.Graph) {
		if x := m.nodes[0].Inputs[0].Name; j.calibration.outliers[x] != nil {
			l := j.calibration.ranges[x]
			j.calibration.ranges[x] = limits{l.low, 100 * l.high}
		}
	}
	j.calibration.outliers = nil
	if one := loss(); !(apart < one/5) {
		t.Errorf("loss %g with outliers apart, %g in one range", apart, one)
	}
}

// What is taken apart is what the product leaves out: without rounding the graph computes what it did.
func TestTakingApartKeepsTheFunction(t *testing.T) {
	m, inputs, o := outlying(t)
	want := run(t, m, ort.OptimizeAll, inputs)["last_hidden_state"].Data.([]float32)
	s, err := SchemeNamed("int8-static")
	if err != nil {
		t.Fatal(err)
	}
	o.Target = Portable
	j, err := newJob(context.Background(), m, s, o)
	if err != nil {
		t.Fatal(err)
	}
	j.model = j.source.Clone()
	j.b = graph.NewBuilder(j.model.Graph, nil)
	taken := 0
	for _, m := range matrices(j.model.Graph) {
		if !separable(m.nodes[0].Inputs[0]) {
			continue
		}
		taken++
		w := initializerOf(t, m.weight)
		if _, err := j.takeApart(m, w, []int{0, 5, 63}); err != nil {
			t.Fatal(err)
		}
		for _, f := range []int{0, 5, 63} {
			clear(w[f*m.n : (f+1)*m.n])
		}
		m.weight.Init = graph.NewTensor(m.weight.Name, w, m.weight.Init.Shape...)
	}
	if err := j.finish(); err != nil {
		t.Fatal(err)
	}
	if taken != 2 {
		t.Errorf("%d products read single features, want those of both feed-forward networks", taken)
	}
	near(t, "output", run(t, j.model, ort.OptimizeAll, inputs)["last_hidden_state"].Data.([]float32), want, 2e-5)
}
