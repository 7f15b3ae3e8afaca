package graph

import (
	"math"
	"slices"
)

// This file evaluates operators that make tensors, and reductions.

func foldConstant(f *Folding) ([]*Tensor, error) {
	t := constantOf(f.Node)
	if t == nil {
		return nil, ErrNoFold
	}
	c := *t
	return []*Tensor{&c}, nil
}

func foldShape(f *Folding) ([]*Tensor, error) {
	s := f.In[0].Shape
	start, end := shapeRange(f.Node, len(s))
	return []*Tensor{NewTensor("", slices.Clone(s[start:end]), int64(end-start))}, nil
}

func foldSize(f *Folding) ([]*Tensor, error) {
	return []*Tensor{NewTensor("", []int64{f.In[0].Len()})}, nil
}

func foldConstantOfShape(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	value := NewTensor("", []float32{0})
	if a := f.Node.Attr("value"); a != nil && a.Tensor != nil {
		value = a.Tensor
	}
	if value.Len() != 1 {
		return nil, ErrNoFold
	}
	v := view{src: value, shape: shape, strides: make([]int64, len(shape))}
	return result(v.tensor(shape))
}

func foldRange(f *Folding) ([]*Tensor, error) {
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	d := f.In[0].DType
	if Count(shape) > mostComputed {
		return nil, ErrNoFold
	}
	if d.IsFloat() {
		return rangeOf[float64](f, d, shape)
	}
	return rangeOf[int64](f, d, shape)
}

func rangeOf[T numeric](f *Folding, d DType, shape []int64) ([]*Tensor, error) {
	start, err := elements[T](f.In[0])
	if err != nil {
		return nil, err
	}
	step, err := elements[T](f.In[2])
	if err != nil {
		return nil, err
	}
	list := make([]T, shape[0])
	for i := range list {
		list[i] = start[0] + T(i)*step[0]
	}
	return result(tensorOf(d, shape, list))
}

// foldReduce folds the elements of the reduced axes with op, from start on.
func foldReduce[T numeric](f *Folding, op func(a, b T) T, start T) ([]*Tensor, error) {
	if err := f.small(); err != nil {
		return nil, err
	}
	t := f.In[0]
	shape, err := f.shapeByInference(0)
	if err != nil {
		return nil, err
	}
	axes := f.Node.Ints("axes")
	if axes == nil {
		if axes, err = f.sizes(1); err != nil {
			return nil, err
		}
	}
	inference := &Inference{Node: f.Node}
	reduced, err := inference.reducedAxes(axes, axes != nil, len(t.Shape))
	if err != nil {
		return nil, err
	}
	list, err := elements[T](t)
	if err != nil {
		return nil, err
	}
	kept := slices.Clone(t.Shape)
	for _, axis := range reduced {
		kept[axis] = 1
	}
	out := slices.Repeat([]T{start}, int(Count(kept)))
	i := 0
	walk(t.Shape, broadcastStrides(kept, t.Shape), func(o int64) {
		out[o] = op(out[o], list[i])
		i++
	})
	return result(tensorOf(t.DType, shape, out))
}

// reducer evaluates integer reductions; sums of floats depend on their order and are left to the runtime.
func reducer(op func(a, b int64) int64, start int64) func(*Folding) ([]*Tensor, error) {
	return func(f *Folding) ([]*Tensor, error) {
		if kind(f.In[0].DType) != 'i' || f.In[0].Len() == 0 {
			return nil, ErrNoFold
		}
		return foldReduce(f, op, start)
	}
}

// extreme evaluates ReduceMax and ReduceMin, which do not depend on the order.
func extreme(ints func(a, b int64) int64, floats func(a, b float64) float64, sign int) func(*Folding) ([]*Tensor, error) {
	start := int64(math.MinInt64)
	if sign < 0 {
		start = math.MaxInt64
	}
	integers := reducer(ints, start)
	return func(f *Folding) ([]*Tensor, error) {
		if f.In[0].DType.IsFloat() && f.In[0].Len() > 0 {
			return foldReduce(f, floats, math.Inf(-sign))
		}
		return integers(f)
	}
}

var (
	foldReduceSum  = reducer(add[int64], 0)
	foldReduceProd = reducer(mul[int64], 1)
	foldReduceMax  = extreme(larger[int64], larger[float64], 1)
	foldReduceMin  = extreme(smaller[int64], smaller[float64], -1)
)

// foldCumSum sums along an axis, in float64 for floats.
func foldCumSum(f *Folding) ([]*Tensor, error) {
	if err := f.small(); err != nil {
		return nil, err
	}
	switch kind(f.In[0].DType) {
	case 'f', 'd':
		return cumSum[float64](f)
	case 'i':
		return cumSum[int64](f)
	}
	return nil, ErrNoFold
}

func cumSum[T numeric](f *Folding) ([]*Tensor, error) {
	t := f.In[0]
	list, err := elements[T](t)
	if err != nil {
		return nil, err
	}
	at, err := f.sizes(1)
	if err != nil || len(at) != 1 {
		return nil, ErrNoFold
	}
	axis, err := wrapIndex(at[0], int64(len(t.Shape)))
	if err != nil {
		return nil, err
	}
	step, size := rowMajor(t.Shape)[axis], t.Shape[axis]
	exclusive, reverse := f.Node.Int("exclusive", 0) != 0, f.Node.Int("reverse", 0) != 0
	out := make([]T, len(list))
	for i := range list {
		if int64(i)/step%size != 0 {
			continue
		}
		var sum T // of the line that starts at i
		for k := range size {
			j := int64(i) + k*step
			if reverse {
				j = int64(i) + (size-1-k)*step
			}
			if exclusive {
				out[j] = sum
			}
			sum += list[j]
			if !exclusive {
				out[j] = sum
			}
		}
	}
	return result(tensorOf(t.DType, t.Shape, out))
}
