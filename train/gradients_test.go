//go:build !lite

package train

import (
	"context"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"graft/graph"
	"graft/prune"
	"graft/train/torch"
)

// The weights whose columns the features of a layer's heads and neurons are multiplied by.
const (
	attentionOut = "encoder.layer.1.attention.output.dense.weight"
	neuronsOut   = "encoder.layer.1.output.dense.weight"
)

// widthOf scores heads and neurons of the tiny model by gradient.
func widthOf(t *testing.T, m Model, o Options) *prune.Width {
	t.Helper()
	w, err := prune.NewWidth(context.Background(), m.Graph, prune.WidthOptions{
		Heads: 1, Neurons: 0.25, Criterion: "gradient",
		Gradients: func(ctx context.Context, g *graph.Model, weights []string, use func([][]float32) error) error {
			m.Graph = g
			return Gradients(ctx, m, o, Hooks{}, weights, use)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// scaled is the model with some columns of a weight multiplied by f.
func scaled(t *testing.T, m Model, weight string, f float32, column func(int) bool) Model {
	t.Helper()
	m.Graph = m.Graph.Clone()
	w := m.Graph.Graph.Initializer(weight)
	data, err := w.Init.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	data = slices.Clone(data)
	for i := range data {
		if column(i % int(w.Init.Shape[1])) {
			data[i] *= f
		}
	}
	w.Init = graph.NewTensor(weight, data, w.Init.Shape...)
	return m
}

// firstLoss is the loss of the first batch without dropout.
func firstLoss(t *testing.T, m Model, o Options) float64 {
	t.Helper()
	defer torch.Lock()()
	o.Dropout = 0
	r := newRun(m, o, Hooks{})
	defer r.Close()
	if err := r.readData(context.Background()); err != nil {
		t.Fatal(err)
	}
	a, err := adapt(m, o, r.hooks.Warn)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.build(a.model, nil); err != nil {
		t.Fatal(err)
	}
	r.arithmetic.steps = 1
	b, err := r.sampler.Batch(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.arithmetic.accumulate(b, 1)
	if err != nil {
		t.Fatal(err)
	}
	return s.loss
}

// The importance by gradient is how fast the loss changes when all that a part adds is scaled.
func TestImportanceIsSlopeOfLoss(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	o.PerDeviceTrainBatchSize = 20 // all rows
	w := widthOf(t, m, o)
	heads := w.Heads[1].Scores
	size := int(m.Graph.Graph.Initializer(attentionOut).Init.Shape[1]) / len(heads)
	const step = 0.05
	for _, part := range []struct {
		weight string
		size   int
		scores []float64
	}{{attentionOut, size, heads}, {neuronsOut, 1, w.Neurons[1].Scores[:6]}} {
		most := slices.Max(part.scores)
		for i, score := range part.scores {
			column := func(c int) bool { return c/part.size == i }
			up := firstLoss(t, scaled(t, m, part.weight, 1+step, column), o)
			down := firstLoss(t, scaled(t, m, part.weight, 1-step, column), o)
			slope := math.Abs(up-down) / (2 * step)
			// The loss is about 4 in float32, the slope's own curvature is of the order of step squared.
			if d := math.Abs(slope - score); !(d <= 1e-2*most+2e-5) {
				t.Errorf("%s, part %d: importance %g, the loss's slope is %g", part.weight, i, score, slope)
			}
		}
		if !(most > 1e-4) {
			t.Errorf("%s: no part matters: %g", part.weight, part.scores)
		}
	}
}

// A part that is multiplied by 0 has importance 0 exactly, and goes first; the same rows give the same scores.
func TestImportanceOfNothingIsZero(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	size := int(m.Graph.Graph.Initializer(attentionOut).Init.Shape[1]) / 4
	m = scaled(t, m, attentionOut, 0, func(c int) bool { return c/size == 2 })
	m = scaled(t, m, neuronsOut, 0, func(c int) bool { return c%4 == 3 })
	w := widthOf(t, m, o)
	if again := widthOf(t, m, o); !reflect.DeepEqual(w, again) {
		t.Error("another run gives other scores")
	}
	for i, score := range w.Heads[1].Scores {
		if zero := i == 2; zero != (score == 0) || zero == slices.Contains(w.Heads[1].Keep, i) {
			t.Errorf("head %d: importance %g, kept %v", i, score, w.Heads[1].Keep)
		}
	}
	for i, score := range w.Neurons[1].Scores {
		if zero := i%4 == 3; zero != (score == 0) || zero == slices.Contains(w.Neurons[1].Keep, i) {
			t.Errorf("neuron %d: importance %g, kept %v", i, score, w.Neurons[1].Keep)
		}
	}
}

// Gradients names what the rows or the model lack.
func TestGradientsRefuse(t *testing.T) {
	m, o := tinyModel(t), tinyOptions(t)
	nothing := func([][]float32) error { return nil }
	err := Gradients(context.Background(), m, o, Hooks{}, []string{"pooler.dense.weight"}, nothing)
	if err == nil || !strings.Contains(err.Error(), `does not depend on a weight "pooler.dense.weight"`) {
		t.Errorf("a weight that is not there: %v", err)
	}
	o.TrainData = []string{o.TrainData[0] + ".missing"}
	if err := Gradients(context.Background(), m, o, Hooks{}, []string{attentionOut}, nothing); err == nil || !strings.Contains(err.Error(), "rows.jsonl.missing") {
		t.Errorf("data that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o = tinyOptions(t)
	if err := Gradients(ctx, m, o, Hooks{}, []string{attentionOut}, nothing); err == nil {
		t.Error("a cancelled run ends without an error")
	}
}
