//go:build !lite

package torch

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"graft/train/torch/internal/shim"
)

// mask is what dropout of ones leaves: 0 or the scale.
func mask(t *testing.T, s *Scope, n int64, p float64, r RNG) []float64 {
	return numbers(t, s, s.Dropout(s.Ones(Float32, Device{}, n), p, &r))
}

func TestDropoutRate(t *testing.T) {
	s := newScope(t)
	const n = 1 << 20
	for _, p := range []float64{0.05, 0.1, 0.5, 0.9} {
		exact := math.Round(p*256) / 256
		kept, sum := 0, 0.0
		for _, v := range mask(t, s, n, p, RNG{Seed: 42}) {
			if v != 0 {
				kept++
			}
			sum += v
			if v != 0 && math.Abs(v-1/(1-exact)) > 1e-6 {
				t.Fatalf("p %v: an element is scaled by %v", p, v)
			}
		}
		// Five standard deviations.
		if d := math.Abs(float64(kept) - n*(1-exact)); d > 5*math.Sqrt(n*exact*(1-exact)) {
			t.Errorf("p %v: kept %d of %d", p, kept, n)
		}
		if d := math.Abs(sum/n - 1); d > 5*math.Sqrt(exact/(1-exact)/n) {
			t.Errorf("p %v: mean %v, want 1", p, sum/n)
		}
	}
}

// correlation of two lists.
func correlation(a, b []float64) float64 {
	var sa, sb, saa, sbb, sab float64
	for i := range a {
		sa, sb = sa+a[i], sb+b[i]
		saa, sbb, sab = saa+a[i]*a[i], sbb+b[i]*b[i], sab+a[i]*b[i]
	}
	n := float64(len(a))
	return (sab/n - sa/n*sb/n) / math.Sqrt((saa/n-sa*sa/n/n)*(sbb/n-sb*sb/n/n))
}

// Masks of different offsets and seeds are independent, and so are a mask and itself shifted: no period.
func TestDropoutIndependence(t *testing.T) {
	s := newScope(t)
	const n = 1 << 18
	limit := 5 / math.Sqrt(n)
	base := mask(t, s, n, 0.1, RNG{Seed: 7, Offset: 100})
	for offset := uint64(0); offset < 24; offset++ {
		if c := correlation(base, mask(t, s, n, 0.1, RNG{Seed: 7, Offset: 101 + offset})); math.Abs(c) > limit {
			t.Errorf("offsets %d and 100 correlate: %v", 101+offset, c)
		}
		if c := correlation(base, mask(t, s, n, 0.1, RNG{Seed: 8 + offset, Offset: 100})); math.Abs(c) > limit {
			t.Errorf("seeds %d and 7 correlate: %v", 8+offset, c)
		}
	}
	for _, lag := range []int{1, 2, 3, 4, 8, 16, 32, 60, 64, 128, 256, 384, 512, 1024, 1536, 4096, 16384, 65536} {
		if c := correlation(base[lag:], base[:n-lag]); math.Abs(c) > 5/math.Sqrt(float64(n-lag)) {
			t.Errorf("elements %d apart correlate: %v", lag, c)
		}
	}
}

// Every byte of the generator is uniform: thresholds cut off their share, in all 64 lanes of a block.
func TestDropoutLanes(t *testing.T) {
	s := newScope(t)
	const blocks = 1 << 14
	var dropped [64]float64
	for i, v := range mask(t, s, 64*blocks, 0.25, RNG{Seed: 3}) {
		if v == 0 {
			dropped[i%64]++
		}
	}
	for lane, n := range dropped {
		if math.Abs(n-blocks/4) > 5*math.Sqrt(blocks*0.25*0.75) {
			t.Errorf("lane %d: %v of %d dropped", lane, n, blocks)
		}
	}
}

// The mask does not depend on the number of threads, the element type or the shape; a copied RNG replays it.
func TestDropoutReplay(t *testing.T) {
	s := newScope(t)
	threads := Threads()
	defer SetThreads(threads)
	const n = 300_001
	r := RNG{Seed: 11, Offset: 5}
	SetThreads(1)
	want := mask(t, s, n, 0.1, r)
	SetThreads(4)
	if got := mask(t, s, n, 0.1, r); !slices.Equal(got, want) {
		t.Error("four threads draw another mask than one")
	}
	for _, d := range []DType{BFloat16, Float64} {
		got := numbers(t, s, s.Dropout(s.Ones(d, Device{}, n), 0.1, &RNG{Seed: 11, Offset: 5}))
		for i := range got {
			if (got[i] == 0) != (want[i] == 0) {
				t.Fatalf("%v: element %d is %v, in float32 %v", d, i, got[i], want[i])
			}
		}
	}
	before := r
	s.Dropout(s.Ones(Float32, Device{}, 3), 0.1, &r)
	if r.Offset != before.Offset+1 {
		t.Errorf("one dropout moved the offset from %d to %d", before.Offset, r.Offset)
	}
}

// Dropout is linear: its gradient is the mask.
func TestDropoutGradient(t *testing.T) {
	s := newScope(t)
	for _, d := range []DType{Float32, BFloat16} {
		x := require(t, s.Ones(d, Device{}, 3, 100))
		y := s.Dropout(x, 0.3, &RNG{Seed: 1})
		s.BackwardWith(y, s.Ones(d, Device{}, 3, 100))
		if got, want := gradient(t, s, x), numbers(t, s, y); !slices.Equal(got, want) {
			t.Errorf("%v: gradient differs from the mask by %v", d, distance(got, want))
		}
	}
	x := s.Ones(Float32, Device{}, 5)
	if got := numbers(t, s, s.Dropout(x, 0, &RNG{})); !slices.Equal(got, []float64{1, 1, 1, 1, 1}) {
		t.Errorf("p = 0: %v", got)
	}
	if got := numbers(t, s, s.Dropout(x, 1, &RNG{})); !slices.Equal(got, []float64{0, 0, 0, 0, 0}) {
		t.Errorf("p = 1: %v", got)
	}
}

// referenceAttention is what AttentionDropout must agree with: torch's operations, and the mask that the rows of weights get.
func referenceAttention(s *Scope, q, k, v, mask *Tensor, causal bool, scale, p float64, r RNG) *Tensor {
	scores := s.MulScalar(s.MatMul(q, s.Transpose(k, -2, -1)), scale)
	if mask != nil && mask.DType() == Bool {
		scores = s.MaskedFill(scores, s.Not(mask), math.Inf(-1))
	} else if mask != nil {
		scores = s.Add(scores, mask)
	}
	if causal {
		later := s.Triu(s.Ones(Float32, Device{}, q.Dim(-2), k.Dim(-2)), 1)
		scores = s.MaskedFill(scores, s.GtScalar(later, 0), math.Inf(-1))
	}
	w := s.Softmax(scores, -1)
	if s.ready("dropout", []*Tensor{w}) {
		h, err := shim.Dropout(w.raw(), p, r.Seed, r.Offset, true)
		w = s.made("dropout", h, err)
	}
	return s.MatMul(w, v)
}

func TestAttentionDropout(t *testing.T) {
	const b, h = 2, 3
	for _, c := range []struct {
		lq, lk, d, dv int64
		mask          string
		causal        bool
		p             float64
	}{
		{5, 5, 8, 8, "", false, 0.2},
		{5, 70, 8, 16, "padding", false, 0.2},
		{64, 64, 32, 32, "bool", false, 0.1},
		{17, 17, 4, 4, "", true, 0.5},
		{130, 700, 16, 16, "bias", false, 0.1},   // several tiles
		{300, 300, 16, 16, "padding", true, 0.1}, // causal across tiles
	} {
		t.Run(fmt.Sprintf("%dx%d %s", c.lq, c.lk, c.mask), func(t *testing.T) {
			s := newScope(t)
			q, k, v := normal(s, 1, b, h, c.lq, c.d), normal(s, 2, b, h, c.lk, c.d), normal(s, 3, b, h, c.lk, c.dv)
			g := normal(s, 4, b, h, c.lq, c.dv)
			params := []*Tensor{q, k, v}
			var m *Tensor
			switch c.mask {
			case "padding": // the last three keys of the second text
				hidden := s.Zeros(Float32, Device{}, 1, 1, 1, c.lk-3)
				m = s.Cat([]*Tensor{s.Zeros(Float32, Device{}, 1, 1, 1, c.lk), s.Cat([]*Tensor{hidden, s.Full(-1e4, Float32, Device{}, 1, 1, 1, 3)}, 3)}, 0)
			case "bool":
				m = s.GtScalar(normal(s, 5, b, 1, c.lq, c.lk), -0.5)
			case "bias":
				m = normal(s, 5, 1, h, c.lq, c.lk)
				params = append(params, m)
			}
			for _, p := range params {
				require(t, p)
			}
			run := func(f func() *Tensor) (out []float64, grads [][]float64) {
				y := f()
				s.BackwardWith(y, g)
				for _, p := range params {
					grads = append(grads, gradient(t, s, p))
					p.ZeroGrad()
				}
				return numbers(t, s, y), grads
			}
			scale := 1 / math.Sqrt(float64(c.d))
			want, wantGrads := run(func() *Tensor { return referenceAttention(s, q, k, v, m, c.causal, scale, c.p, RNG{9, 4}) })
			got, gotGrads := run(func() *Tensor { return s.AttentionDropout(q, k, v, m, c.causal, scale, c.p, &RNG{9, 4}) })
			if d := distance(got, want); !(d < 1e-5) {
				t.Errorf("output differs by %v", d)
			}
			for i, name := range []string{"q", "k", "v", "mask"}[:len(params)] {
				if d := distance(gotGrads[i], wantGrads[i]); !(d < 1e-4) {
					t.Errorf("gradient of %s differs by %v", name, d)
				}
			}
		})
	}
}

// Without dropout, in both element types, the result is torch's.
func TestAttentionWithoutDropout(t *testing.T) {
	s := newScope(t)
	shape := []int64{2, 3, 70, 16}
	m := s.Float32s(append(make([]float32, 60), slices.Repeat([]float32{float32(math.Inf(-1))}, 10)...), 1, 1, 1, 70)
	for _, c := range []struct {
		d      DType
		within float64
	}{{Float32, 1e-5}, {BFloat16, 0.03}} { // bfloat16 has 8 bits
		q, k, v := s.To(normal(s, 1, shape...), c.d), s.To(normal(s, 2, shape...), c.d), s.To(normal(s, 3, shape...), c.d)
		require(t, q)
		wide := s.Detach(s.To(q, Float32))
		want := numbers(t, s, s.ScaledDotProductAttention(wide, s.To(k, Float32), s.To(v, Float32), m, false, 0.25))
		got := s.AttentionDropout(q, k, v, s.To(m, c.d), false, 0.25, 0, &RNG{})
		if d := distance(numbers(t, s, got), want); !(d < c.within) {
			t.Errorf("%v: differs by %v", c.d, d)
		}
	}
}

// Attention in bfloat16 agrees with float32 on the same mask, gradients too.
func TestAttentionDropoutBFloat16(t *testing.T) {
	s := newScope(t)
	shape := []int64{2, 3, 80, 32}
	run := func(d DType) (out, grad []float64) {
		q := require(t, s.To(s.To(normal(s, 1, shape...), BFloat16), d))
		k, v := s.To(s.To(normal(s, 2, shape...), BFloat16), d), s.To(s.To(normal(s, 3, shape...), BFloat16), d)
		y := s.AttentionDropout(q, k, v, nil, false, 0.18, 0.1, &RNG{1, 2})
		s.BackwardWith(y, s.To(s.To(normal(s, 4, shape...), BFloat16), d))
		return numbers(t, s, y), gradient(t, s, q)
	}
	out32, grad32 := run(Float32)
	out16, grad16 := run(BFloat16)
	if d := distance(out16, out32); !(d < 0.02) {
		t.Errorf("output differs by %v", d)
	}
	if d := distance(grad16, grad32); !(d < 0.03) {
		t.Errorf("gradient differs by %v", d)
	}
}

// A gradient that is one row for all queries is that of the same rows written out.
func TestAttentionExpandedGradient(t *testing.T) {
	s := newScope(t)
	shape := []int64{2, 3, 20, 16}
	q, k, v := require(t, normal(s, 1, shape...)), normal(s, 2, shape...), normal(s, 3, shape...)
	row := s.Expand(normal(s, 4, 2, 3, 1, 16), shape...)
	run := func(g *Tensor) []float64 {
		s.BackwardWith(s.AttentionDropout(q, k, v, nil, false, 0.25, 0.1, &RNG{1, 2}), g)
		defer q.ZeroGrad()
		return gradient(t, s, q)
	}
	if !slices.Equal(run(row), run(s.Contiguous(row))) {
		t.Error("the gradients differ")
	}
}

// A row that may attend to nothing gives zeros and passes no gradient, as in torch.
func TestAttentionDropoutHidden(t *testing.T) {
	s := newScope(t)
	q, k, v := require(t, normal(s, 1, 1, 1, 2, 4)), normal(s, 2, 1, 1, 3, 4), normal(s, 3, 1, 1, 3, 4)
	m := s.Bools([]bool{true, true, false, false, false, false}, 1, 1, 2, 3)
	y := s.AttentionDropout(q, k, v, m, false, 1, 0.1, &RNG{})
	s.BackwardWith(y, s.Ones(Float32, Device{}, 1, 1, 2, 4))
	if got := numbers(t, s, y)[4:]; !slices.Equal(got, make([]float64, 4)) {
		t.Errorf("output of the hidden row: %v", got)
	}
	if got := gradient(t, s, q)[4:]; !slices.Equal(got, make([]float64, 4)) {
		t.Errorf("gradient of the hidden row: %v", got)
	}
}

// The gradient of attention with dropout agrees with central differences. float64 runs on torch's operations, the loops of
// float32 are compared with them above.
func TestAttentionDropoutDifferences(t *testing.T) {
	s := newScope(t)
	shape := []int64{1, 2, 3, 4}
	at := func(q *Tensor) *Tensor {
		k, v := s.To(normal(s, 2, shape...), Float64), s.To(normal(s, 3, shape...), Float64)
		return s.Sum(s.Mul(s.AttentionDropout(q, k, v, nil, false, 0.5, 0.3, &RNG{5, 6}), s.To(normal(s, 4, shape...), Float64)), false)
	}
	q := require(t, s.To(normal(s, 1, shape...), Float64))
	s.Backward(at(q))
	want := gradient(t, s, q)
	const h = 1e-5
	for i := range want {
		shift := s.Reshape(s.To(s.EqScalar(s.Arange(0, 24, 1, Int64, Device{}), float64(i)), Float64), shape...)
		shift = s.MulScalar(shift, h)
		plus, minus := numbers(t, s, at(s.Add(q, shift)))[0], numbers(t, s, at(s.Sub(q, shift)))[0]
		if got := (plus - minus) / (2 * h); math.Abs(got-want[i]) > 1e-7 {
			t.Errorf("element %d: difference %v, gradient %v", i, got, want[i])
		}
	}
}
