//go:build !lite

package torch

import (
	"math"
	"slices"
	"sync"
	"testing"
)

func TestBackward(t *testing.T) {
	s := newScope(t)
	x := require(t, s.Float32s([]float32{1, 2, 3}, 3))
	s.Backward(s.Sum(s.Mul(x, x), false))
	s.BackwardWith(s.Mul(x, x), s.Float32s([]float32{0, 1, 10}, 3))
	if got, want := gradient(t, s, x), []float64{2, 8, 66}; !slices.Equal(got, want) {
		t.Errorf("gradient %v, want %v: the second adds to the first", got, want)
	}
	x.ZeroGrad()
	if g := x.Grad(); g != nil {
		t.Errorf("gradient after ZeroGrad: %v", g)
	}
}

func TestNoGrad(t *testing.T) {
	s := newScope(t)
	x := require(t, s.Ones(Float32, Device{}, 2))
	func() {
		defer func() { _ = recover() }()
		s.NoGrad(func() {
			if s.Neg(x).RequiresGrad() {
				t.Error("recorded inside NoGrad")
			}
			s.WithGrad(func() {
				if !s.Neg(x).RequiresGrad() {
					t.Error("not recorded inside WithGrad")
				}
			})
			panic("out")
		})
	}()
	if !s.Neg(x).RequiresGrad() {
		t.Error("gradients stay off after a panic in NoGrad")
	}
}

func TestAutocast(t *testing.T) {
	s := newScope(t)
	x, w := normal(s, 1, 2, 3), require(t, normal(s, 2, 4, 3))
	product := func() DType { return s.Linear(x, w, nil).DType() }
	func() {
		defer func() { _ = recover() }()
		s.Autocast(BFloat16, Device{}, func() {
			if d := product(); d != BFloat16 {
				t.Errorf("linear in autocast is %v", d)
			}
			s.WithoutAutocast(Device{}, func() {
				if d := product(); d != Float32 {
					t.Errorf("linear without autocast is %v", d)
				}
			})
			s.Autocast(Float16, Device{}, func() {
				if d := product(); d != Float16 {
					t.Errorf("linear in float16 autocast is %v", d)
				}
			})
			if d := product(); d != BFloat16 {
				t.Errorf("linear in autocast after another is %v", d)
			}
			panic("out")
		})
	}()
	if d := product(); d != Float32 {
		t.Errorf("linear after autocast is %v", d)
	}
}

// A weight that autocast casts while gradients are off must not lose its gradient afterwards.
func TestAutocastAfterNoGrad(t *testing.T) {
	s := newScope(t)
	x, w := normal(s, 1, 2, 3), require(t, normal(s, 2, 4, 3))
	s.Autocast(BFloat16, Device{}, func() {
		s.NoGrad(func() { s.Linear(x, w, nil) })
		s.Backward(s.Sum(s.To(s.Linear(x, w, nil), Float32), false))
	})
	if got := gradient(t, s, w); got[0] == 0 {
		t.Errorf("gradient %v", got)
	}
}

// Errors and modes belong to the thread: many goroutines with locks of their own do not see each other's.
// (An error of libtorch takes some 20 ms, for its backtrace.)
func TestThreads(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			unlock := Lock()
			defer unlock()
			for range 20 {
				s := NewScope()
				a := s.Ones(Float32, Device{}, 2, 3)
				if i%2 == 0 {
					s.MatMul(a, a)
				} else {
					s.Add(a, a)
				}
				if failed := s.Err() != nil; failed != (i%2 == 0) {
					t.Errorf("goroutine %d: error %v", i, s.Err())
				}
				s.Close()
			}
		})
	}
	wait.Wait()
}

func TestRecompute(t *testing.T) {
	for _, autocast := range []bool{false, true} {
		s := newScope(t)
		x := require(t, normal(s, 1, 4, 2, 8, 16))
		side := require(t, normal(s, 6, 16))
		ids := s.Int64s([]int64{0, 1, 2, 3}, 4)
		w, b := require(t, normal(s, 2, 16, 16)), require(t, normal(s, 3, 16))
		params := []*Tensor{x, side, w, b}
		block := func(s *Scope, in []*Tensor) []*Tensor {
			r := RNG{Seed: 1, Offset: 10}
			h := s.Dropout(s.Gelu(s.Linear(s.IndexSelect(in[0], 0, in[2]), w, b), false), 0.2, &r)
			return []*Tensor{s.AttentionDropout(h, h, h, nil, true, 0.25, 0.2, &r), s.Mul(h, in[1])}
		}
		run := func(f func(in []*Tensor) []*Tensor) (out [][]float64) {
			var y []*Tensor
			forward := func() { y = f([]*Tensor{x, side, ids}) }
			if autocast {
				s.Autocast(BFloat16, Device{}, forward)
			} else {
				forward()
			}
			loss := s.Add(s.Sum(s.Square(s.To(y[0], Float32)), false), s.Sum(s.Sin(s.To(y[1], Float32)), false))
			s.Backward(loss)
			out = append(out, numbers(t, s, loss))
			for _, p := range params {
				out = append(out, gradient(t, s, p))
				p.ZeroGrad()
			}
			return out
		}
		want := run(func(in []*Tensor) []*Tensor { return block(s, in) })
		calls := 0
		got := run(func(in []*Tensor) []*Tensor {
			return Recompute(s, func(s *Scope, in []*Tensor) []*Tensor { calls++; return block(s, in) }, in)
		})
		if calls != 2 {
			t.Errorf("the segment ran %d times", calls)
		}
		for i, name := range []string{"loss", "x", "side", "w", "b"} {
			if d := distance(got[i], want[i]); d != 0 {
				t.Errorf("autocast %v: %s differs by %v", autocast, name, d)
			}
		}
	}
}

// Inputs without gradients: the weights inside still get theirs. Inside NoGrad nothing is recorded.
func TestRecomputeFrozenInput(t *testing.T) {
	s := newScope(t)
	x, w := normal(s, 1, 2, 3), require(t, normal(s, 2, 4, 3))
	segment := func(s *Scope, in []*Tensor) []*Tensor { return []*Tensor{s.Linear(in[0], w, nil)} }
	s.Backward(s.Sum(Recompute(s, segment, []*Tensor{x})[0], false))
	if g := gradient(t, s, w); math.Abs(g[0]) == 0 {
		t.Errorf("gradient %v", g)
	}
	s.NoGrad(func() {
		if Recompute(s, segment, []*Tensor{x})[0].RequiresGrad() {
			t.Error("recorded inside NoGrad")
		}
	})
}

// A segment's error and its panic are the scope's error, in the first run and in the second.
func TestRecomputeErrors(t *testing.T) {
	unlock := Lock()
	defer unlock()
	for failing := range 2 {
		for _, panics := range []bool{false, true} {
			s := NewScope()
			x := s.Ones(Float32, Device{}, 2, 3)
			if err := x.SetRequiresGrad(true); err != nil {
				t.Fatal(err)
			}
			calls := 0
			y := Recompute(s, func(s *Scope, in []*Tensor) []*Tensor {
				calls++
				if calls == failing+1 {
					if panics {
						panic("broken segment")
					}
					return []*Tensor{s.MatMul(in[0], in[0])}
				}
				return []*Tensor{s.Neg(in[0])}
			}, []*Tensor{x})
			if failing == 1 && s.Err() == nil {
				s.Backward(s.Sum(y[0], false))
			}
			if s.Err() == nil {
				t.Errorf("run %d, panics %v: no error", failing, panics)
			}
			s.Close()
		}
	}
}
