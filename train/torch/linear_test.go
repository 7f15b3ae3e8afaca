//go:build !lite

package torch

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// linearSizes are sizes [rows, in, out] of products: of one block, of parts of blocks and of several in each direction.
var linearSizes = [][3]int64{{32, 32, 32}, {33, 47, 61}, {128, 256, 512}, {300, 384, 1100}, {130, 1700, 40}, {70, 3200, 33}}

// withPrecision runs f in a precision.
func withPrecision(t *testing.T, name string, f func()) {
	t.Helper()
	if err := SetFloat32MatmulPrecision(name); err != nil {
		t.Fatal(err)
	}
	defer SetFloat32MatmulPrecision("highest")
	f()
}

func needTiles(t *testing.T) {
	t.Helper()
	if !HasTiles() {
		t.Skip("this CPU has no AMX: the precision high is highest here")
	}
}

// away is the norm of a-b as a share of that of b.
func away(a, b []float64) float64 {
	var difference, norm float64
	for i := range b {
		difference += (a[i] - b[i]) * (a[i] - b[i])
		norm += b[i] * b[i]
	}
	return math.Sqrt(difference / norm)
}

// runLinear gives a linear's result and the gradients of its operands, which it sets anew.
func runLinear(t *testing.T, s *Scope, x, w, b, g *Tensor) map[string][]float64 {
	t.Helper()
	y := s.Linear(x, w, b)
	s.BackwardWith(y, g)
	out := map[string][]float64{"y": numbers(t, s, y)}
	for name, p := range map[string]*Tensor{"dx": x, "dw": w, "db": b} {
		out[name] = gradient(t, s, p)
		p.ZeroGrad()
	}
	return out
}

// The precision high is within 2^-16 of float64 in all of a linear's results, and takes another way than highest.
func TestLinearHigh(t *testing.T) {
	needTiles(t)
	for _, size := range linearSizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := newScope(t)
			rows, in, out := size[0], size[1], size[2]
			x, w, b, g := normal(s, 1, rows, in), normal(s, 2, out, in), normal(s, 3, out), normal(s, 4, rows, out)
			double := func(x *Tensor) *Tensor { return s.To(x, Float64) }
			want := runLinear(t, s, require(t, double(x)), require(t, double(w)), require(t, double(b)), double(g))
			x, w, b = require(t, x), require(t, w), require(t, b)
			highest := runLinear(t, s, x, w, b, g)
			withPrecision(t, "high", func() {
				for name, got := range runLinear(t, s, x, w, b, g) {
					near, nearest := away(got, want[name]), away(highest[name], want[name])
					if near > 1.0/(1<<16) || nearest > 1e-6 || name != "db" && near <= nearest {
						t.Errorf("%s: high is %.2g away, highest %.2g", name, near, nearest)
					}
				}
			})
		})
	}
}

// In autocast to bfloat16 a linear's result is of that type, and its gradients of their operands' types: all as near to float64 as
// the rounding of operands and results lets them be, in products of several blocks and of more than one pass over k too.
func TestLinearAutocast(t *testing.T) {
	for _, size := range [][3]int64{{128, 128, 128}, {300, 384, 1100}, {150, 3300, 130}, {130, 141, 3300}} {
		for _, of := range []DType{Float32, BFloat16} {
			t.Run(fmt.Sprint(size, of), func(t *testing.T) {
				s := newScope(t)
				rows, in, out := size[0], size[1], size[2]
				x, w, b, g := s.To(normal(s, 1, rows, in), of), normal(s, 2, out, in), normal(s, 3, out), normal(s, 4, rows, out)
				double := func(x *Tensor) *Tensor { return s.To(x, Float64) }
				want := runLinear(t, s, require(t, double(x)), require(t, double(w)), require(t, double(b)), double(g))
				x, w, b = require(t, x), require(t, w), require(t, b)
				var y *Tensor
				s.Autocast(BFloat16, Device{}, func() { y = s.Linear(x, w, b) })
				s.BackwardWith(y, s.To(g, BFloat16))
				if s.Err() != nil {
					t.Fatal(s.Err())
				}
				for _, c := range []struct {
					name string
					got  *Tensor
					of   DType
				}{{"y", y, BFloat16}, {"dx", s.Own(x.Grad()), of}, {"dw", s.Own(w.Grad()), Float32}, {"db", s.Own(b.Grad()), Float32}} {
					if d := away(numbers(t, s, c.got), want[c.name]); c.got.DType() != c.of || d > 1.0/256 {
						t.Errorf("%s is of %v and %.2g away, want %v", c.name, c.got.DType(), d, c.of)
					}
				}
			})
		}
	}
}

// A row's result depends neither on the rows beside it nor on the number of threads, nor on how the weight lies in memory.
func TestLinearHighIsOrderless(t *testing.T) {
	needTiles(t)
	defer SetThreads(Threads())
	s := newScope(t)
	x, w := normal(s, 1, 700, 300), normal(s, 2, 600, 300)
	other := s.T(s.Contiguous(s.T(w)))
	withPrecision(t, "high", func() {
		all := numbers(t, s, s.Linear(x, w, nil))
		for _, threads := range []int{1, 2, 3} {
			SetThreads(threads)
			if !slices.Equal(numbers(t, s, s.Linear(x, w, nil)), all) {
				t.Errorf("%d threads compute something else", threads)
			}
			if !slices.Equal(numbers(t, s, s.Linear(x, other, nil)), all) {
				t.Errorf("%d threads: a transposed weight gives something else", threads)
			}
			part := s.Slice(x, 0, 37, 137, 1)
			if !slices.Equal(numbers(t, s, s.Linear(part, w, nil)), all[37*600:137*600]) {
				t.Errorf("%d threads: rows alone give something else", threads)
			}
		}
	})
}

// A frozen weight gets no gradient, and the input gets its own without it; leading dimensions stay.
func TestLinearHighFrozen(t *testing.T) {
	s := newScope(t)
	x, w := require(t, normal(s, 1, 4, 20, 64)), normal(s, 2, 96, 64)
	withPrecision(t, "high", func() {
		y := s.Linear(x, w, nil)
		if !slices.Equal(y.Shape(), []int64{4, 20, 96}) {
			t.Fatalf("shape %v", y.Shape())
		}
		s.Backward(s.Sum(y, false))
	})
	if w.Grad() != nil {
		t.Error("a frozen weight has a gradient")
	}
	if g := gradient(t, s, x); len(g) != 4*20*64 {
		t.Errorf("a gradient of %d numbers", len(g))
	}
}

// A gradient that is one row for all, as of a sum over the rows, is that of the same rows written out.
func TestLinearExpandedGradient(t *testing.T) {
	s := newScope(t)
	x, w, row := require(t, normal(s, 1, 150, 140)), require(t, normal(s, 2, 160, 140)), normal(s, 3, 160)
	run := func(of DType, y *Tensor, g *Tensor) [2][]float64 {
		s.BackwardWith(y, s.Expand(s.To(g, of), 150, 160))
		expanded := [2][]float64{gradient(t, s, x), gradient(t, s, w)}
		ZeroGrads([]*Tensor{x, w})
		return expanded
	}
	check := func(of DType, linear func() *Tensor) {
		t.Helper()
		one := run(of, linear(), row)
		all := run(of, linear(), s.Contiguous(s.Expand(row, 150, 160)))
		if !slices.Equal(one[0], all[0]) || !slices.Equal(one[1], all[1]) {
			t.Errorf("%v: the gradients differ", of)
		}
	}
	withPrecision(t, "high", func() { check(Float32, func() *Tensor { return s.Linear(x, w, nil) }) })
	check(BFloat16, func() (y *Tensor) {
		s.Autocast(BFloat16, Device{}, func() { y = s.Linear(x, w, nil) })
		return y
	})
}

// The precision auto is highest for small products and high for large ones; what is no precision is refused.
func TestLinearAuto(t *testing.T) {
	s := newScope(t)
	for _, size := range []int64{64, 128} {
		x, w := normal(s, 1, size, size), normal(s, 2, size, size)
		want := "highest"
		if size == 128 && HasTiles() {
			want = "high"
		}
		got := map[string][]float64{}
		for _, name := range []string{"auto", "highest", "high"} {
			withPrecision(t, name, func() { got[name] = numbers(t, s, s.Linear(x, w, nil)) })
		}
		if !slices.Equal(got["auto"], got[want]) {
			t.Errorf("auto at size %d is not %s", size, want)
		}
		if HasTiles() && slices.Equal(got["high"], got["highest"]) {
			t.Errorf("high at size %d is highest", size)
		}
	}
	if err := SetFloat32MatmulPrecision("medium"); err == nil {
		t.Error("medium is taken for a precision")
	}
}

// A weight that overflows does not go unseen: infinities and what is too large for bfloat16 become NaN.
func TestLinearHighOverflow(t *testing.T) {
	needTiles(t)
	s := newScope(t)
	w := normal(s, 2, 32, 32)
	withPrecision(t, "high", func() {
		for _, v := range []float32{3.4e38, float32(math.Inf(1))} {
			row := make([]float32, 32*32)
			row[5] = v
			y := numbers(t, s, s.Linear(s.Float32s(row, 32, 32), w, nil))
			if y[0] == y[0] {
				t.Errorf("%g gives %g", v, y[0])
			}
		}
	})
}

// BenchmarkLinear is a layer's product forward and backward on one thread: 4096 tokens through MiniLM's matrices, as MKL multiplies
// float32, in halves, and rounded to bfloat16.
func BenchmarkLinear(b *testing.B) {
	defer Lock()()
	defer SetThreads(Threads())
	SetThreads(1)
	for _, size := range [][2]int64{{384, 384}, {384, 1536}, {1536, 384}} {
		for _, precision := range []string{"highest", "high", "bf16"} {
			b.Run(fmt.Sprintf("%dx%d/%s", size[0], size[1], precision), func(b *testing.B) {
				if precision != "bf16" {
					if err := SetFloat32MatmulPrecision(precision); err != nil {
						b.Fatal(err)
					}
					defer SetFloat32MatmulPrecision("highest")
				}
				s := NewScope()
				defer s.Close()
				const rows = 4096
				x, w, g := normal(s, 1, rows, size[0]), normal(s, 2, size[1], size[0]), normal(s, 3, rows, size[1])
				x.SetRequiresGrad(true)
				w.SetRequiresGrad(true)
				for b.Loop() {
					var y *Tensor
					if precision == "bf16" {
						s.Autocast(BFloat16, Device{}, func() { y = s.Linear(x, w, nil) })
						s.BackwardWith(y, s.To(g, BFloat16))
					} else {
						y = s.Linear(x, w, nil)
						s.BackwardWith(y, g)
					}
					s.Release(y)
					ZeroGrads([]*Tensor{x, w})
				}
				if s.Err() != nil {
					b.Fatal(s.Err())
				}
				b.ReportMetric(3*2*rows*float64(size[0]*size[1])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
