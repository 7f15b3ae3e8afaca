//go:build !lite

package torch

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// newScope returns a scope on a locked thread; the test fails with the scope's error, or when it leaves tensors behind.
func newScope(t *testing.T) *Scope {
	t.Helper()
	unlock := Lock()
	before := Live()
	s := NewScope()
	t.Cleanup(func() {
		s.Close()
		if err := s.Err(); err != nil {
			t.Error(err)
		}
		if n := Live() - before; n != 0 {
			t.Errorf("%d tensors are still alive", n)
		}
		unlock()
	})
	return s
}

// normal is a tensor of normally distributed numbers.
func normal(s *Scope, seed uint64, shape ...int64) *Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return s.Float32s(v, shape...)
}

func require(t *testing.T, x *Tensor) *Tensor {
	t.Helper()
	if err := x.SetRequiresGrad(true); err != nil {
		t.Fatal(err)
	}
	return x
}

// numbers copies a tensor out.
func numbers(t *testing.T, s *Scope, x *Tensor) []float64 {
	t.Helper()
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	v, err := x.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// gradient copies a tensor's gradient out.
func gradient(t *testing.T, s *Scope, x *Tensor) []float64 {
	t.Helper()
	g := x.Grad()
	if g == nil {
		t.Fatal("no gradient")
	}
	return numbers(t, s, s.Own(g))
}

// distance is the largest difference between two lists.
func distance(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	worst := 0.0
	for i := range a {
		if d := math.Abs(a[i] - b[i]); !(d <= worst) {
			worst = d
		}
	}
	return worst
}

func TestOperations(t *testing.T) {
	s := newScope(t)
	cpu := Device{}
	x := s.Float32s([]float32{1, -2, 3, 0.5}, 2, 2)
	y := s.Float32s([]float32{2, 2, -1, 4}, 2, 2)
	positive := s.Abs(x)
	index := s.Int64s([]int64{1, 0}, 2)
	yes := s.Bools([]bool{true, false, false, true}, 2, 2)
	nan := math.NaN()
	for _, c := range []struct {
		name string
		got  *Tensor
		want []float64
	}{
		{"add", s.Add(x, y), []float64{3, 0, 2, 4.5}},
		{"sub", s.Sub(x, y), []float64{-1, -4, 4, -3.5}},
		{"mul", s.Mul(x, y), []float64{2, -4, -3, 2}},
		{"div", s.Div(x, y), []float64{0.5, -1, -3, 0.125}},
		{"pow", s.Pow(positive, y), []float64{1, 4, 1. / 3, 0.0625}},
		{"maximum", s.Maximum(x, y), []float64{2, 2, 3, 4}},
		{"minimum", s.Minimum(x, y), []float64{1, -2, -1, 0.5}},
		{"add scalar", s.AddScalar(x, 1.5), []float64{2.5, -0.5, 4.5, 2}},
		{"mul scalar", s.MulScalar(x, -2), []float64{-2, 4, -6, -1}},
		{"div scalar", s.DivScalar(x, 2), []float64{0.5, -1, 1.5, 0.25}},
		{"pow scalar", s.PowScalar(x, 2), []float64{1, 4, 9, 0.25}},
		{"clamp_min", s.ClampMin(x, 0), []float64{1, 0, 3, 0.5}},
		{"clamp_max", s.ClampMax(x, 0), []float64{0, -2, 0, 0}},
		{"remainder", s.Remainder(x, 1.5), []float64{1, 1, 0, 0.5}},
		{"fmod", s.Fmod(x, 1.5), []float64{1, -0.5, 0, 0.5}},
		{"neg", s.Neg(x), []float64{-1, 2, -3, -0.5}},
		{"sign", s.Sign(x), []float64{1, -1, 1, 1}},
		{"exp", s.Exp(x), []float64{math.E, math.Exp(-2), math.Exp(3), math.Exp(.5)}},
		{"log", s.Log(positive), []float64{0, math.Log(2), math.Log(3), math.Log(.5)}},
		{"log1p", s.Log1p(positive), []float64{math.Log(2), math.Log(3), math.Log(4), math.Log(1.5)}},
		{"sqrt", s.Sqrt(positive), []float64{1, math.Sqrt2, math.Sqrt(3), math.Sqrt(.5)}},
		{"rsqrt", s.Rsqrt(positive), []float64{1, 1 / math.Sqrt2, 1 / math.Sqrt(3), math.Sqrt2}},
		{"square", s.Square(x), []float64{1, 4, 9, 0.25}},
		{"reciprocal", s.Reciprocal(x), []float64{1, -0.5, 1. / 3, 2}},
		{"erf", s.Erf(x), []float64{math.Erf(1), math.Erf(-2), math.Erf(3), math.Erf(.5)}},
		{"sin", s.Sin(x), []float64{math.Sin(1), math.Sin(-2), math.Sin(3), math.Sin(.5)}},
		{"cos", s.Cos(x), []float64{math.Cos(1), math.Cos(-2), math.Cos(3), math.Cos(.5)}},
		{"tan", s.Tan(x), []float64{math.Tan(1), math.Tan(-2), math.Tan(3), math.Tan(.5)}},
		{"tanh", s.Tanh(x), []float64{math.Tanh(1), math.Tanh(-2), math.Tanh(3), math.Tanh(.5)}},
		{"sigmoid", s.Sigmoid(s.Float32s([]float32{0, 1}, 2)), []float64{0.5, 1 / (1 + math.Exp(-1))}},
		{"floor", s.Floor(s.MulScalar(x, .5)), []float64{0, -1, 1, 0}},
		{"ceil", s.Ceil(s.MulScalar(x, .5)), []float64{1, -1, 2, 1}},
		{"round", s.Round(s.Float32s([]float32{0.5, 1.5, -1.2}, 3)), []float64{0, 2, -1}},
		{"relu", s.Relu(x), []float64{1, 0, 3, 0.5}},
		{"silu", s.Silu(s.Float32s([]float32{1}, 1)), []float64{1 / (1 + math.Exp(-1))}},
		{"softplus", s.Softplus(s.Float32s([]float32{0}, 1)), []float64{math.Ln2}},
		{"logsigmoid", s.LogSigmoid(s.Float32s([]float32{0}, 1)), []float64{-math.Ln2}},
		{"elu", s.Elu(s.Float32s([]float32{-1, 2}, 2)), []float64{math.Exp(-1) - 1, 2}},
		{"mish", s.Mish(s.Float32s([]float32{1}, 1)), []float64{math.Tanh(math.Log1p(math.E))}},
		{"gelu", s.Gelu(s.Float32s([]float32{1, -2}, 2), false), []float64{0.5 * (1 + math.Erf(1/math.Sqrt2)), -(1 + math.Erf(-2/math.Sqrt2))}},
		{"gelu tanh", s.Gelu(s.Float32s([]float32{1}, 1), true), []float64{0.5 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*1.044715))}},
		{"eq", s.Eq(x, s.Float32s([]float32{1}, 1)), []float64{1, 0, 0, 0}},
		{"ne", s.Ne(x, s.Float32s([]float32{1}, 1)), []float64{0, 1, 1, 1}},
		{"gt", s.Gt(x, y), []float64{0, 0, 1, 0}},
		{"ge", s.Ge(x, x), []float64{1, 1, 1, 1}},
		{"lt", s.Lt(x, y), []float64{1, 1, 0, 1}},
		{"le", s.Le(x, y), []float64{1, 1, 0, 1}},
		{"eq scalar", s.EqScalar(x, 3), []float64{0, 0, 1, 0}},
		{"ne scalar", s.NeScalar(x, 3), []float64{1, 1, 0, 1}},
		{"gt scalar", s.GtScalar(x, 0.5), []float64{1, 0, 1, 0}},
		{"ge scalar", s.GeScalar(x, 0.5), []float64{1, 0, 1, 1}},
		{"lt scalar", s.LtScalar(x, 0.5), []float64{0, 1, 0, 0}},
		{"le scalar", s.LeScalar(x, 0.5), []float64{0, 1, 0, 1}},
		{"and", s.And(yes, s.GtScalar(x, 0.6)), []float64{1, 0, 0, 0}},
		{"or", s.Or(yes, s.GtScalar(x, 0.6)), []float64{1, 0, 1, 1}},
		{"not", s.Not(yes), []float64{0, 1, 1, 0}},
		{"isnan", s.IsNaN(s.Float32s([]float32{float32(nan), 1}, 2)), []float64{1, 0}},
		{"isinf", s.IsInf(s.Float32s([]float32{float32(math.Inf(-1)), 1}, 2)), []float64{1, 0}},
		{"isfinite", s.IsFinite(s.Float32s([]float32{float32(nan), 1}, 2)), []float64{0, 1}},
		{"where", s.Where(yes, x, y), []float64{1, 2, -1, 0.5}},
		{"masked_fill", s.MaskedFill(x, yes, -9), []float64{-9, -2, 3, -9}},
		{"t", s.T(x), []float64{1, 3, -2, 0.5}},
		{"transpose", s.Transpose(x, -1, 0), []float64{1, 3, -2, 0.5}},
		{"permute", s.Permute(x, 1, 0), []float64{1, 3, -2, 0.5}},
		{"reshape", s.Reshape(x, -1), []float64{1, -2, 3, 0.5}},
		{"view", s.View(x, 4, 1), []float64{1, -2, 3, 0.5}},
		{"flatten", s.Flatten(x, 0, 1), []float64{1, -2, 3, 0.5}},
		{"squeeze", s.Squeeze(s.Unsqueeze(x, 1), 1), []float64{1, -2, 3, 0.5}},
		{"expand", s.Expand(s.Float32s([]float32{1, 2}, 1, 2), 2, -1), []float64{1, 2, 1, 2}},
		{"repeat", s.Repeat(s.Float32s([]float32{1, 2}, 2), 2), []float64{1, 2, 1, 2}},
		{"flip", s.Flip(x, 0), []float64{3, 0.5, 1, -2}},
		{"pad", s.Pad(s.Float32s([]float32{1}, 1), 1, 2), []float64{0, 1, 0, 0}},
		{"cat", s.Cat([]*Tensor{x, y}, 1), []float64{1, -2, 2, 2, 3, 0.5, -1, 4}},
		{"stack", s.Stack([]*Tensor{x, y}, 2), []float64{1, 2, -2, 2, 3, -1, 0.5, 4}},
		{"slice", s.Slice(s.Reshape(x, 4), 0, 0, 99, 2), []float64{1, 3}},
		{"select", s.Select(x, 1, 1), []float64{-2, 0.5}},
		{"index_select", s.IndexSelect(x, 0, index), []float64{3, 0.5, 1, -2}},
		{"gather", s.Gather(x, 1, s.Unsqueeze(index, 1)), []float64{-2, 3}},
		{"scatter", s.Scatter(x, 1, s.Unsqueeze(index, 1), s.Slice(y, 1, 0, 1, 1)), []float64{1, 2, -1, 0.5}},
		{"scatter_add", s.ScatterAdd(x, 1, s.Unsqueeze(index, 1), s.Slice(y, 1, 0, 1, 1)), []float64{1, 0, 2, 0.5}},
		{"tril", s.Tril(x, 0), []float64{1, 0, 3, 0.5}},
		{"triu", s.Triu(x, 1), []float64{0, -2, 0, 0}},
		{"sum", s.Sum(x, false), []float64{2.5}},
		{"sum rows", s.Sum(x, true, 1), []float64{-1, 3.5}},
		{"mean", s.Mean(x, false, 0), []float64{2, -0.75}},
		{"amax", s.Max(x, false, 1), []float64{1, 3}},
		{"amin", s.Min(x, false), []float64{-2}},
		{"logsumexp", s.LogSumExp(s.Zeros(Float32, cpu, 1, 4), 1, false), []float64{math.Log(4)}},
		{"prod", s.Prod(x, 1, false), []float64{-2, 1.5}},
		{"argmax", s.ArgMax(x, 1, false), []float64{0, 0}},
		{"cumsum", s.CumSum(x, 1), []float64{1, -1, 3, 3.5}},
		{"softmax", s.Softmax(s.Float32s([]float32{0, float32(math.Log(3))}, 2), 0), []float64{0.25, 0.75}},
		{"log_softmax", s.LogSoftmax(s.Float32s([]float32{0, float32(math.Log(3))}, 2), 0), []float64{math.Log(.25), math.Log(.75)}},
		{"matmul", s.MatMul(x, y), []float64{4, -6, 5.5, 8}},
		{"linear", s.Linear(x, y, s.Float32s([]float32{1, 2}, 2)), []float64{-1, -7, 8, 1}},
		{"linear without bias", s.Linear(x, y, nil), []float64{-2, -9, 7, -1}},
		{"embedding", s.Embedding(x, index), []float64{3, 0.5, 1, -2}},
		{"cross_entropy", s.CrossEntropy(s.Zeros(Float32, cpu, 2, 4), index), []float64{math.Log(4)}},
		{"layer_norm", s.LayerNorm(s.Float32s([]float32{1, 3}, 1, 2), 1, nil, nil, 0), []float64{-1, 1}},
		{"rms_norm", s.RMSNorm(s.Float32s([]float32{3, 4}, 1, 2), 1, s.Float32s([]float32{1, 2}, 2), 0), []float64{3 / math.Sqrt(12.5), 8 / math.Sqrt(12.5)}},
		{"normalize", s.Normalize(s.Float32s([]float32{3, 4, 0, 0}, 2, 2), 1, 1e-12), []float64{0.6, 0.8, 0, 0}},
		{"attention to itself", s.ScaledDotProductAttention(s.Ones(Float32, cpu, 1, 1, 1, 2), s.Ones(Float32, cpu, 1, 1, 1, 2), s.Float32s([]float32{5, 7}, 1, 1, 1, 2), nil, false, 1), []float64{5, 7}},
		{"zeros", s.Zeros(Float32, cpu), []float64{0}},
		{"ones", s.Ones(BFloat16, cpu, 2), []float64{1, 1}},
		{"full", s.Full(2.5, Float32, cpu, 2), []float64{2.5, 2.5}},
		{"zeros_like", s.ZerosLike(x), []float64{0, 0, 0, 0}},
		{"ones_like", s.OnesLike(x), []float64{1, 1, 1, 1}},
		{"arange", s.Arange(1, 7, 2, Int64, cpu), []float64{1, 3, 5}},
		{"to", s.To(x, Int64), []float64{1, -2, 3, 0}},
		{"to device", s.ToDevice(x, cpu), []float64{1, -2, 3, 0.5}},
		{"contiguous", s.Contiguous(s.T(x)), []float64{1, 3, -2, 0.5}},
		{"detach", s.Detach(x), []float64{1, -2, 3, 0.5}},
		{"alias", s.Alias(x), []float64{1, -2, 3, 0.5}},
		{"clone", s.Clone(x), []float64{1, -2, 3, 0.5}},
	} {
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		if d := distance(numbers(t, s, c.got), c.want); !(d < 1e-6) {
			t.Errorf("%s: got %v, want %v", c.name, numbers(t, s, c.got), c.want)
		}
	}
	values, indices := s.TopK(s.Reshape(x, 4), 2, 0)
	if v, i := numbers(t, s, values), numbers(t, s, indices); !slices.Equal(v, []float64{3, 1}) || !slices.Equal(i, []float64{2, 0}) {
		t.Errorf("topk: %v at %v", v, i)
	}
	// A whole number leaves a tensor of integers one.
	if d := s.AddScalar(index, 2).DType(); d != Int64 {
		t.Errorf("int64 + 2 is %v", d)
	}
}

// The first error stays, as one line that names the operation; what follows does nothing.
func TestErrorsStick(t *testing.T) {
	unlock := Lock()
	defer unlock()
	s := NewScope()
	defer s.Close()
	a := s.Float32s([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if p := s.MatMul(a, a); p != nil {
		t.Errorf("matmul of [2 3] and [2 3] is %v", p)
	}
	err := s.Err()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"libtorch: matmul: ", "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
	if x := s.Add(a, a); x != nil {
		t.Errorf("an operation after the error made %v", x)
	}
	s.Backward(a)
	if s.Err() != err {
		t.Errorf("the first error was replaced by %v", s.Err())
	}
	other := NewScope()
	defer other.Close()
	if other.Add(other.Ones(Float32, Device{}), nil); other.Err() == nil || !strings.Contains(other.Err().Error(), "add: argument 2") {
		t.Errorf("add of nothing: %v", other.Err())
	}
}

// The shim's errors are one line too, and leave no error behind for the next call.
func TestShimErrors(t *testing.T) {
	unlock := Lock()
	defer unlock()
	s := NewScope()
	defer s.Close()
	s.RMSNorm(s.Ones(Float32, Device{}, 2), 3, nil, 0)
	if err := s.Err(); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "rms_norm over 3 dimensions of 1") {
		t.Errorf("rms_norm: %v", err)
	}
	again := NewScope()
	defer again.Close()
	if again.Ones(Float32, Device{}); again.Err() != nil {
		t.Error(again.Err())
	}
}

func TestOwnership(t *testing.T) {
	unlock := Lock()
	defer unlock()
	before := Live()
	s := NewScope()
	kept := s.Keep(s.Ones(Float32, Device{}, 2))
	early := s.Ones(Float32, Device{}, 2)
	s.Release(early, early, nil, kept)
	if n := Live() - before; n != 1 {
		t.Errorf("%d tensors live after Release, want the kept one", n)
	}
	other := NewScope()
	other.Own(s.Ones(Float32, Device{}, 2))
	s.Close()
	if n := Live() - before; n != 2 {
		t.Errorf("%d tensors live after Close, want the kept one and the other scope's", n)
	}
	other.Close()
	kept.Free()
	kept.Free()
	if n := Live() - before; n != 0 {
		t.Errorf("%d tensors live at the end", n)
	}
}
