package graph

import "math"

// This file evaluates element-by-element operators.

// broadcastStrides are the strides, in elements, with which a tensor of shape in is read at the
// indices of out: 0 on the axes that repeat.
func broadcastStrides(in, out []int64) []int64 {
	strides := make([]int64, len(out))
	step := int64(1)
	for i := len(in) - 1; i >= 0; i-- {
		if in[i] != 1 {
			strides[len(out)-len(in)+i] = step
		}
		step *= in[i]
	}
	return strides
}

// walk calls f with the offset that strides give to each index of shape, in row-major order.
func walk(shape, strides []int64, f func(offset int64)) {
	if Count(shape) <= 0 {
		return
	}
	index := make([]int64, len(shape))
	offset := int64(0)
	for {
		f(offset)
		axis := len(shape) - 1
		for ; axis >= 0; axis-- {
			index[axis]++
			offset += strides[axis]
			if index[axis] < shape[axis] {
				break
			}
			offset -= strides[axis] * shape[axis]
			index[axis] = 0
		}
		if axis < 0 {
			return
		}
	}
}

// spread reads t as T, broadcast to shape.
func spread[T numeric](t *Tensor, shape []int64) ([]T, error) {
	list, err := elements[T](t)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, Count(shape))
	walk(shape, broadcastStrides(t.Shape, shape), func(o int64) { out = append(out, list[o]) })
	return out, nil
}

// zip computes op of inputs 0 and 1, broadcast, as a tensor of elem.
func zip[T, R numeric](f *Folding, elem DType, op func(a, b T) R) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	if Count(shape) > mostComputed {
		return nil, ErrNoFold
	}
	a, err := spread[T](f.In[0], shape)
	if err != nil {
		return nil, err
	}
	b, err := spread[T](f.In[1], shape)
	if err != nil {
		return nil, err
	}
	out := make([]R, len(a))
	for i := range out {
		out[i] = op(a[i], b[i])
	}
	return result(tensorOf(elem, shape, out))
}

// arith is one operation in each of the types that evaluation computes in.
type arith struct {
	f func(a, b float32) float32
	d func(a, b float64) float64
	i func(a, b int64) int64
	u func(a, b uint64) uint64
}

func (op arith) fold(f *Folding) ([]*Tensor, error) {
	if err := f.small(); err != nil {
		return nil, err
	}
	d := f.In[0].DType
	if f.In[1].DType != d {
		return nil, ErrNoFold
	}
	switch k := kind(d); {
	case k == 'f' && op.f != nil:
		return zip(f, d, op.f)
	case k == 'd' && op.d != nil:
		return zip(f, d, op.d)
	case k == 'i' && op.i != nil:
		return zip(f, d, op.i)
	case k == 'u' && op.u != nil:
		return zip(f, d, op.u)
	}
	return nil, ErrNoFold
}

// foldBinary folds all inputs from left to right.
func foldBinary(op arith) func(*Folding) ([]*Tensor, error) {
	return func(f *Folding) ([]*Tensor, error) {
		acc := f.In[0]
		for _, t := range f.In[1:] {
			if t == nil {
				return nil, ErrNoFold
			}
			n := &Node{Op: f.Node.Op, Outputs: f.Node.Outputs[:1], Attrs: f.Node.Attrs}
			out, err := op.fold(&Folding{Node: n, Opset: f.Opset, In: []*Tensor{acc, t}, infer: broadcast})
			if err != nil {
				return nil, err
			}
			acc = out[0]
		}
		return []*Tensor{acc}, nil
	}
}

func add[T numeric](a, b T) T { return a + b }
func sub[T numeric](a, b T) T { return a - b }
func mul[T numeric](a, b T) T { return a * b }
func div[T numeric](a, b T) T { return a / b }

func larger[T numeric](a, b T) T {
	if a != a || a > b {
		return a
	}
	return b
}

func smaller[T numeric](a, b T) T {
	if a != a || a < b {
		return a
	}
	return b
}

var (
	foldAdd = foldBinary(arith{add[float32], add[float64], add[int64], add[uint64]})
	foldSub = foldBinary(arith{sub[float32], sub[float64], sub[int64], sub[uint64]})
	foldMul = foldBinary(arith{mul[float32], mul[float64], mul[int64], mul[uint64]})
	foldSum = foldBinary(arith{f: add[float32], d: add[float64]})
	foldMax = foldBinary(arith{larger[float32], larger[float64], larger[int64], larger[uint64]})
	foldMin = foldBinary(arith{smaller[float32], smaller[float64], smaller[int64], smaller[uint64]})

	foldBitwiseAnd = foldBinary(arith{i: func(a, b int64) int64 { return a & b }, u: func(a, b uint64) uint64 { return a & b }})
	foldBitwiseOr  = foldBinary(arith{i: func(a, b int64) int64 { return a | b }, u: func(a, b uint64) uint64 { return a | b }})
)

// foldDiv leaves integer division by zero to the runtime.
func foldDiv(f *Folding) ([]*Tensor, error) {
	if err := f.nonzero(1); err != nil {
		return nil, err
	}
	return arith{div[float32], div[float64], div[int64], div[uint64]}.fold(f)
}

// nonzero refuses an integer input that holds a 0.
func (f *Folding) nonzero(i int) error {
	if err := f.small(); err != nil {
		return err
	}
	t := f.In[i]
	if t.DType.IsFloat() {
		return nil
	}
	list, err := elements[int64](t)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x == 0 {
			return ErrNoFold
		}
	}
	return nil
}

// foldMod has the sign of the divisor, or with fmod that of the dividend.
func foldMod(f *Folding) ([]*Tensor, error) {
	if err := f.nonzero(1); err != nil {
		return nil, err
	}
	if f.Node.Int("fmod", 0) != 0 {
		return arith{
			f: func(a, b float32) float32 { return float32(math.Mod(float64(a), float64(b))) },
			d: math.Mod,
			i: func(a, b int64) int64 { return a % b },
			u: func(a, b uint64) uint64 { return a % b },
		}.fold(f)
	}
	return arith{
		i: func(a, b int64) int64 {
			r := a % b
			if r != 0 && (r < 0) != (b < 0) {
				r += b
			}
			return r
		},
		u: func(a, b uint64) uint64 { return a % b },
	}.fold(f)
}

// foldPow computes in float64, or in integers where both are; the result has the base's type.
func foldPow(f *Folding) ([]*Tensor, error) {
	if err := f.small(); err != nil {
		return nil, err
	}
	d := f.In[0].DType
	if d.IsFloat() || f.In[1].DType.IsFloat() {
		return zip(f, d, func(a, b float64) float64 { return math.Pow(a, b) })
	}
	list, err := elements[int64](f.In[1])
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		if x < 0 {
			return nil, ErrNoFold
		}
	}
	return zip(f, d, integerPower)
}

func integerPower(a, b int64) int64 {
	p := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			p *= a
		}
		a *= a
	}
	return p
}

// comparer is one comparison in each of the types that evaluation computes in.
type comparer struct {
	d func(a, b float64) bool
	i func(a, b int64) bool
	u func(a, b uint64) bool
}

func foldCompare(op comparer) func(*Folding) ([]*Tensor, error) {
	return func(f *Folding) ([]*Tensor, error) {
		if err := f.small(); err != nil {
			return nil, err
		}
		d := f.In[0].DType
		if f.In[1].DType != d {
			return nil, ErrNoFold
		}
		switch kind(d) {
		case 'f', 'd':
			return zip(f, Bool, holds(op.d))
		case 'i':
			return zip(f, Bool, holds(op.i))
		case 'u':
			return zip(f, Bool, holds(op.u))
		}
		return nil, ErrNoFold
	}
}

func holds[T numeric](op func(a, b T) bool) func(a, b T) int64 {
	return func(a, b T) int64 {
		if op(a, b) {
			return 1
		}
		return 0
	}
}

func equal[T numeric](a, b T) bool     { return a == b }
func less[T numeric](a, b T) bool      { return a < b }
func lessEqual[T numeric](a, b T) bool { return a <= b }
func more[T numeric](a, b T) bool      { return a > b }
func moreEqual[T numeric](a, b T) bool { return a >= b }

var (
	foldEqual          = foldCompare(comparer{equal[float64], equal[int64], equal[uint64]})
	foldLess           = foldCompare(comparer{less[float64], less[int64], less[uint64]})
	foldLessOrEqual    = foldCompare(comparer{lessEqual[float64], lessEqual[int64], lessEqual[uint64]})
	foldGreater        = foldCompare(comparer{more[float64], more[int64], more[uint64]})
	foldGreaterOrEqual = foldCompare(comparer{moreEqual[float64], moreEqual[int64], moreEqual[uint64]})

	foldAnd = foldBinary(arith{i: func(a, b int64) int64 { return a & b }})
	foldOr  = foldBinary(arith{i: func(a, b int64) int64 { return a | b }})
	foldXor = foldBinary(arith{i: func(a, b int64) int64 { return a ^ b }})
)
