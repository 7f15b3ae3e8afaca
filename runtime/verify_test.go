package runtime

import (
	"context"
	"encoding/json"
	"math"
	"testing"
)

func TestDifference(t *testing.T) {
	a := &Vectors{3, 2, []float32{1, 0, 0, 1, 0.6, 0.8}}
	b := &Vectors{3, 2, []float32{1, 0, 0.6, 0.8, 0.6, 0.8}}
	d := a.difference(b)
	if math.Abs(float64(d.MaxAbs)-0.6) > 1e-6 || math.Abs(float64(d.MinCosine)-0.8) > 1e-6 || d.WorstText != 1 || math.Abs(float64(d.MeanCosine)-2.8/3) > 1e-6 {
		t.Errorf("%+v", d)
	}
	b.Data[2] = float32(math.NaN()) // and what follows it is a number
	if d := a.difference(b); d.MinCosine == d.MinCosine || d.WorstText != 1 || d.MaxAbs == d.MaxAbs {
		t.Errorf("a NaN is not the worst: %+v", d)
	}
}

func TestNeighbours(t *testing.T) {
	line := &Vectors{Rows: 12, Dim: 2}
	turned := &Vectors{Rows: 12, Dim: 2}
	for i := range 12 {
		x := float64(i) / 12
		line.Data = append(line.Data, float32(math.Cos(x)), float32(math.Sin(x)))
		turned.Data = append(turned.Data, float32(-math.Sin(x)), float32(math.Cos(x)))
	}
	if got := neighbours(line, turned); got != 1 {
		t.Errorf("a rotation keeps %g of the neighbours", got)
	}
	// Of 11 others the farthest is left out; a change of its vector alone moves it in.
	moved := &Vectors{Rows: 12, Dim: 2, Data: append([]float32{}, line.Data...)}
	copy(moved.Row(11), []float32{1, -0.01})
	if got := neighbours(line, moved); !(got < 1 && got > 0.8) {
		t.Errorf("one text that moved keeps %g of the neighbours", got)
	}
	two := &Vectors{2, 2, []float32{1, 0, 0, 1}}
	if got := neighbours(two, two); got == got {
		t.Errorf("two texts have %g", got)
	}
}

func TestNumberInJSON(t *testing.T) {
	for n, want := range map[Number]string{1.5: "1.5", Number(math.Inf(1)): "null", Number(math.Inf(-1)): "null"} {
		if got, err := json.Marshal(n); err != nil || string(got) != want {
			t.Errorf("%v: %s %v", n, got, err)
		}
	}
	if got, err := json.Marshal(Number(math.NaN())); err != nil || string(got) != "null" {
		t.Errorf("NaN: %s %v", got, err)
	}
}

// TestVerify: a model is as itself; two models are told apart.
func TestVerify(t *testing.T) {
	a, b := opened(t, "bert", Options{}), opened(t, "roberta", Options{})
	same, err := Verify(context.Background(), a, a, SampleTexts(), EncodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !(same.AB.MinCosine > 0.999999) || same.Neighbours != 1 || len(same.Checks) != 7 {
		t.Errorf("a model and itself: %+v", same)
	}
	for _, c := range same.Checks {
		if !(c.MinCosine > 0.99999) {
			t.Errorf("%s: cosine %g", c.Name, c.MinCosine)
		}
	}
	other, err := Verify(context.Background(), a, b, SampleTexts(), EncodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if other.AB.MinCosine > 0.9 || other.Neighbours > 0.9 {
		t.Errorf("different models: %+v", other.AB)
	}
}
