//go:build !lite

package torch

import (
	"math"
	"slices"
	"testing"
)

// Several steps against the update written out, one parameter with decay, one without, one without gradient.
func TestAdamW(t *testing.T) {
	s := newScope(t)
	o := AdamWOptions{Beta1: 0.9, Beta2: 0.99, Eps: 1e-6, WeightDecay: 0.1}
	params := []*Tensor{require(t, normal(s, 1, 5)), require(t, normal(s, 2, 5)), require(t, normal(s, 3, 5))}
	decay := []bool{true, false, true}
	a, err := NewAdamW(params, decay, o)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	want := [][]float64{numbers(t, s, params[0]), numbers(t, s, params[1]), numbers(t, s, params[2])}
	var m, v [2][5]float64
	for step := 1; step <= 5; step++ {
		lr := 0.1 / float64(step)
		for i, p := range params[:2] {
			g := normal(s, uint64(10*step+i), 5)
			p.ZeroGrad()
			s.BackwardWith(p, g)
			for j, g := range numbers(t, s, g) {
				if decay[i] {
					want[i][j] -= lr * o.WeightDecay * want[i][j]
				}
				m[i][j] = o.Beta1*m[i][j] + (1-o.Beta1)*g
				v[i][j] = o.Beta2*v[i][j] + (1-o.Beta2)*g*g
				unbiased := math.Sqrt(v[i][j] / (1 - math.Pow(o.Beta2, float64(step))))
				want[i][j] -= lr * m[i][j] / (1 - math.Pow(o.Beta1, float64(step))) / (unbiased + o.Eps)
			}
		}
		if err := a.Step(lr); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range params {
		if d := distance(numbers(t, s, p), want[i]); !(d < 1e-5) {
			t.Errorf("parameter %d differs by %v", i, d)
		}
	}
	for i, want := range []float64{5, 5, 0} {
		if got := numbers(t, s, a.State()[i].Step)[0]; got != want {
			t.Errorf("parameter %d: step %v, want %v", i, got, want)
		}
	}
}

// A state copied into a new optimizer goes on as the old one does, bit for bit.
func TestAdamWState(t *testing.T) {
	s := newScope(t)
	o := AdamWOptions{0.9, 0.999, 1e-8, 0.01}
	p, q := require(t, normal(s, 1, 7)), require(t, normal(s, 1, 7))
	a, err := NewAdamW([]*Tensor{p}, []bool{true}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := NewAdamW([]*Tensor{q}, []bool{true}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	update := func(a *AdamW, p *Tensor, seed uint64) {
		p.ZeroGrad()
		s.BackwardWith(p, normal(s, seed, 7))
		if err := a.Step(0.01); err != nil {
			t.Fatal(err)
		}
	}
	update(a, p, 5)
	if err := b.SetState(a.State()); err != nil {
		t.Fatal(err)
	}
	if err := q.CopyFrom(p); err != nil {
		t.Fatal(err)
	}
	update(a, p, 6)
	update(b, q, 6)
	if got, want := numbers(t, s, q), numbers(t, s, p); !slices.Equal(got, want) {
		t.Errorf("resumed %v, want %v", got, want)
	}
	if err := b.SetState(nil); err == nil {
		t.Error("a state of no parameters was taken")
	}
	wrong := []AdamWState{{ExpAvg: s.Ones(Float32, Device{}, 3), ExpAvgSq: q, Step: q}}
	if err := b.SetState(wrong); err == nil {
		t.Error("a state of another shape was taken")
	}
}

func TestClipGradNorm(t *testing.T) {
	s := newScope(t)
	p, q, unused := require(t, s.Ones(Float32, Device{}, 2)), require(t, s.Ones(Float32, Device{}, 1)), require(t, s.Ones(Float32, Device{}, 1))
	params := []*Tensor{p, q, unused}
	s.BackwardWith(p, s.Float32s([]float32{3, 4}, 2))
	s.BackwardWith(q, s.Float32s([]float32{12}, 1))
	for _, c := range []struct{ max, norm, factor float64 }{{0, 13, 1}, {20, 13, 1}, {1, 13, 1 / (13 + 1e-6)}} {
		norm, err := ClipGradNorm(params, c.max)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(norm-c.norm) > 1e-5 {
			t.Errorf("max %v: norm %v, want %v", c.max, norm, c.norm)
		}
		if d := distance(gradient(t, s, p), []float64{3 * c.factor, 4 * c.factor}); d > 1e-6 {
			t.Errorf("max %v: gradient differs by %v", c.max, d)
		}
	}
	if err := ScaleGrads(params, 13); err != nil {
		t.Fatal(err)
	}
	if d := distance(gradient(t, s, q), []float64{12}); d > 1e-5 {
		t.Errorf("scaled gradient differs by %v", d)
	}
	if finite, err := GradsFinite(params); err != nil || !finite {
		t.Errorf("finite %v, %v", finite, err)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(-1)} {
		ZeroGrads(params)
		s.BackwardWith(q, s.Full(bad, Float32, Device{}, 1))
		if finite, err := GradsFinite(params); err != nil || finite {
			t.Errorf("gradient %v: finite %v, %v", bad, finite, err)
		}
	}
	ZeroGrads(params)
	if norm, err := ClipGradNorm(params, 1); err != nil || norm != 0 {
		t.Errorf("without gradients: norm %v, %v", norm, err)
	}
}
