package graph

import "math"

// This file evaluates operators of one tensor, element by element.

// mapped computes op of each element of input 0 as a tensor of elem.
func mapped[T numeric](f *Folding, elem DType, op func(T) T) ([]*Tensor, error) {
	if err := f.small(); err != nil {
		return nil, err
	}
	t := f.In[0]
	list, err := elements[T](t)
	if err != nil {
		return nil, err
	}
	for i, x := range list {
		list[i] = op(x)
	}
	return result(tensorOf(elem, t.Shape, list))
}

// foldFloat evaluates a function of floats in float64 and rounds the result.
func foldFloat(op func(float64) float64) func(*Folding) ([]*Tensor, error) {
	return func(f *Folding) ([]*Tensor, error) {
		if !f.In[0].DType.IsFloat() {
			return nil, ErrNoFold
		}
		return mapped(f, f.In[0].DType, op)
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// foldSigned evaluates a function that is the same for floats and signed integers.
func foldSigned(float func(float64) float64, integer func(int64) int64) func(*Folding) ([]*Tensor, error) {
	return func(f *Folding) ([]*Tensor, error) {
		switch d := f.In[0].DType; kind(d) {
		case 'f', 'd':
			return mapped(f, d, float)
		case 'i':
			return mapped(f, d, integer)
		}
		return nil, ErrNoFold
	}
}

var (
	foldAbs = foldSigned(math.Abs, func(x int64) int64 { return max(x, -x) })
	foldNeg = foldSigned(func(x float64) float64 { return -x }, func(x int64) int64 { return -x })

	foldRelu = foldSigned(func(x float64) float64 { return larger(x, 0) }, func(x int64) int64 { return max(x, 0) })
	foldSign = foldSigned(
		func(x float64) float64 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return x
		},
		func(x int64) int64 { return min(max(x, -1), 1) })
)

// foldReciprocal divides in the type itself, as float32 division is not float64's rounded twice.
func foldReciprocal(f *Folding) ([]*Tensor, error) {
	switch d := f.In[0].DType; kind(d) {
	case 'f':
		return mapped(f, d, func(x float32) float32 { return 1 / x })
	case 'd':
		return mapped(f, d, func(x float64) float64 { return 1 / x })
	}
	return nil, ErrNoFold
}

func foldNot(f *Folding) ([]*Tensor, error) {
	return mapped(f, Bool, func(x int64) int64 { return 1 - min(x, 1) })
}

func foldIsNaN(f *Folding) ([]*Tensor, error) {
	if !f.In[0].DType.IsFloat() {
		return nil, ErrNoFold
	}
	return mapped(f, Bool, func(x float64) float64 {
		if x != x {
			return 1
		}
		return 0
	})
}

// foldClip is Min(max, Max(x, min)): where min is greater than max, max wins.
func foldClip(f *Folding) ([]*Tensor, error) {
	t := f.In[0]
	if low := f.input(1); low != nil {
		n := &Node{Op: "Max", Outputs: f.Node.Outputs}
		out, err := foldMax(&Folding{Node: n, Opset: f.Opset, In: []*Tensor{t, low}, infer: sameAs0})
		if err != nil {
			return nil, err
		}
		t = out[0]
	}
	if high := f.input(2); high != nil {
		n := &Node{Op: "Min", Outputs: f.Node.Outputs}
		out, err := foldMin(&Folding{Node: n, Opset: f.Opset, In: []*Tensor{t, high}, infer: sameAs0})
		if err != nil {
			return nil, err
		}
		t = out[0]
	}
	c := *t
	return []*Tensor{&c}, nil
}

// The element types of casts that evaluation covers are those that kind knows.

func foldCast(f *Folding) ([]*Tensor, error) {
	return result(cast(f.In[0], DType(f.Node.Int("to", 0))))
}

func foldCastLike(f *Folding) ([]*Tensor, error) { return result(cast(f.In[0], f.In[1].DType)) }

// cast converts by value as numpy's astype does. It converts large tensors when they are read.
func cast(t *Tensor, to DType) (*Tensor, error) {
	if t.DType == to {
		c := *t
		return &c, nil
	}
	var convert func(to, b []byte) []byte
	switch from := kind(t.DType); {
	case from == 0 || kind(to) == 0:
		return nil, ErrNoFold
	case from == 'f' || from == 'd':
		convert = converter[float64](t.DType, to)
	case from == 'u':
		convert = converter[uint64](t.DType, to)
	default:
		convert = converter[int64](t.DType, to)
	}
	size := t.DType.Bits() / 8
	return derive(to, t.Shape, func(write func([]byte) error) error {
		b, err := t.Bytes()
		if err != nil {
			return err
		}
		buf := make([]byte, 0, 8)
		for ; len(b) > 0; b = b[size:] {
			if err := write(convert(buf[:0], b)); err != nil {
				return err
			}
		}
		return nil
	})
}

func converter[T numeric](from, to DType) func(out, b []byte) []byte {
	read, write := reader[T](from), writer[T](to)
	if from == Double && to == Float16 {
		write = func(out []byte, x T) []byte { return writer[float32](to)(out, roundToOdd(float64(x))) }
	}
	return func(out, b []byte) []byte { return write(out, read(b)) }
}

// roundToOdd is x as a float32 whose last bit says that something was cut off, so that rounding
// it on to a half is the same as rounding x once.
func roundToOdd(x float64) float32 {
	f := float32(x)
	if float64(f) == x || x != x {
		return f
	}
	bits := math.Float32bits(f)
	if math.Abs(float64(f)) > math.Abs(x) {
		bits--
	}
	return math.Float32frombits(bits | 1)
}
