package graph

import "slices"

// reduceOps fold axes into one value each.
var reduceOps = []Op{
	{Name: "ArgMax", Since: 1, In: one, Out: one, Infer: inferArg},
	{Name: "ArgMin", Since: 1, In: one, Out: one, Infer: inferArg},
	{Name: "CumSum", Since: 11, In: exactly(2), Out: one, Infer: sameAs0, Fold: foldCumSum},
	{Name: "ReduceL1", Since: 1, In: one, Out: one, Infer: inferReduce},
	{Name: "ReduceL1", Since: 18, In: between(1, 2), Out: one, Infer: inferReduce},
	{Name: "ReduceL2", Since: 1, In: one, Out: one, Infer: inferReduce},
	{Name: "ReduceL2", Since: 18, In: between(1, 2), Out: one, Infer: inferReduce},
	{Name: "ReduceLogSum", Since: 1, In: one, Out: one, Infer: inferReduce},
	{Name: "ReduceLogSum", Since: 18, In: between(1, 2), Out: one, Infer: inferReduce},
	{Name: "ReduceLogSumExp", Since: 1, In: one, Out: one, Infer: inferReduce},
	{Name: "ReduceLogSumExp", Since: 18, In: between(1, 2), Out: one, Infer: inferReduce},
	{Name: "ReduceMax", Since: 1, In: one, Out: one, Infer: inferReduce, Fold: foldReduceMax},
	{Name: "ReduceMax", Since: 18, In: between(1, 2), Out: one, Infer: inferReduce, Fold: foldReduceMax},
	{Name: "ReduceMean", Since: 1, In: one, Out: one, Infer: inferReduce},
	{Name: "ReduceMean", Since: 18, In: between(1, 2), Out: one, Infer: inferReduce},
	{Name: "ReduceMin", Since: 1, In: one, Out: one, Infer: inferReduce, Fold: foldReduceMin},
	{Name: "ReduceMin", Since: 18, In: between(1, 2), Out: one, Infer: inferReduce, Fold: foldReduceMin},
	{Name: "ReduceProd", Since: 1, In: one, Out: one, Infer: inferReduceProd, Fold: foldReduceProd},
	{Name: "ReduceProd", Since: 18, In: between(1, 2), Out: one, Infer: inferReduceProd, Fold: foldReduceProd},
	{Name: "ReduceSum", Since: 1, In: one, Out: one, Infer: inferReduce, Fold: foldReduceSum},
	{Name: "ReduceSum", Since: 13, In: between(1, 2), Out: one, Infer: inferReduce, Fold: foldReduceSum},
	{Name: "ReduceSumSquare", Since: 1, In: one, Out: one, Infer: inferReduce},
	{Name: "ReduceSumSquare", Since: 18, In: between(1, 2), Out: one, Infer: inferReduce},
	{Name: "TopK", Since: 1, In: one, Out: exactly(2), Infer: inferTopK},
	{Name: "TopK", Since: 10, In: exactly(2), Out: exactly(2), Infer: inferTopK},
}

func inferReduce(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.SetShape(0, nil)
		return nil
	}
	keep := f.Node.Int("keepdims", 1) != 0
	axes, given, known := f.axesOf(1)
	if !known {
		f.SetShape(0, nil)
		if n := f.Shape(1); keep {
			f.SetShape(0, anyShape(len(s)))
		} else if len(n) == 1 && n[0].Known() && n[0].Size > 0 && n[0].Size <= int64(len(s)) {
			f.SetShape(0, anyShape(len(s)-int(n[0].Size)))
		}
		return nil
	}
	reduced, err := f.reducedAxes(axes, given, len(s))
	if err != nil {
		return err
	}
	f.SetShape(0, reduceShape(s, reduced, keep))
	return nil
}

// reducedAxes are the axes that a Reduce node folds: all where none are named, unless
// noop_with_empty_axes says that this means none.
func (f *Inference) reducedAxes(axes []int64, given bool, rank int) ([]int, error) {
	if given && len(axes) > 0 {
		return f.normalAxes(axes, rank)
	}
	if f.Node.Int("noop_with_empty_axes", 0) != 0 {
		return nil, nil
	}
	all := make([]int, rank)
	for i := range all {
		all[i] = i
	}
	return all, nil
}

func reduceShape(s Shape, axes []int, keep bool) Shape {
	out := Dims()
	for i, d := range s {
		switch {
		case !slices.Contains(axes, i):
			out = append(out, d)
		case keep:
			out = append(out, Size(1))
		}
	}
	return out
}

// inferReduceProd also multiplies the elements of a shape vector.
func inferReduceProd(f *Inference) error {
	if list := f.elements(0); list != nil && f.isVector(0) {
		f.setElements(0, []expr{product(list)})
	}
	return inferReduce(f)
}

func inferArg(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.Set(0, Int64, nil)
		return nil
	}
	axis, err := f.axis("axis", 0, len(s))
	if err != nil {
		return err
	}
	f.Set(0, Int64, reduceShape(s, []int{axis}, f.Node.Int("keepdims", 1) != 0))
	return nil
}

func inferTopK(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.SetShape(0, nil)
		f.Set(1, Int64, nil)
		return nil
	}
	axis, err := f.axis("axis", -1, len(s))
	if err != nil {
		return err
	}
	out := slices.Clone(s)
	out[axis] = AnyDim
	if k := f.Node.Int("k", -1); k >= 0 {
		out[axis] = Size(k)
	} else if k := f.elements(1); len(k) == 1 {
		out[axis] = k[0].dim()
	}
	f.SetShape(0, out)
	f.Set(1, Int64, out)
	return nil
}
