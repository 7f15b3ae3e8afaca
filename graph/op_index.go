package graph

import (
	"fmt"
	"math"
	"slices"
)

// indexOps pick, place and search elements.
var indexOps = []Op{
	{Name: "Compress", Since: 9, In: exactly(2), Out: one, Infer: inferCompress},
	{Name: "Gather", Since: 1, In: exactly(2), Out: one, Infer: inferGather, Fold: foldGather},
	{Name: "GatherElements", Since: 11, In: exactly(2), Out: one, Infer: inferGatherElements, Fold: foldGatherElements},
	{Name: "GatherND", Since: 11, In: exactly(2), Out: one, Infer: inferGatherND, Fold: foldGatherND},
	{Name: "NonZero", Since: 9, In: one, Out: one, Infer: inferNonZero, Fold: foldNonZero},
	{Name: "OneHot", Since: 9, In: exactly(3), Out: one, Infer: inferOneHot},
	{Name: "Scatter", Since: 9, In: exactly(3), Out: one, Infer: sameAs0},
	{Name: "ScatterElements", Since: 11, In: exactly(3), Out: one, Infer: sameAs0},
	{Name: "ScatterND", Since: 11, In: exactly(3), Out: one, Infer: sameAs0, Fold: foldScatterND},
	{Name: "Slice", Since: 1, In: one, Out: one, Infer: inferSlice, Fold: foldSlice},
	{Name: "Slice", Since: 10, In: between(3, 5), Out: one, Infer: inferSlice, Fold: foldSlice},
	{Name: "TensorScatter", Since: 24, In: between(2, 3), Out: one, Infer: sameAs0},
}

func inferGather(f *Inference) error {
	s, indices := f.Shape(0), f.Shape(1)
	if s == nil || indices == nil {
		f.SetShape(0, nil)
		return nil
	}
	axis, err := f.axis("axis", 0, len(s))
	if err != nil {
		return err
	}
	f.SetShape(0, joinShapes(s[:axis], indices, s[axis+1:]))
	list := f.elements(0)
	at, ok := f.ints(1)
	if list == nil || !ok || len(s) != 1 || len(indices) > 1 {
		return nil
	}
	out := make([]expr, len(at))
	for i, k := range at {
		if k < 0 {
			k += int64(len(list))
		}
		if k < 0 || k >= int64(len(list)) {
			return fmt.Errorf("index %d into %d elements", at[i], len(list))
		}
		out[i] = list[k]
	}
	f.setElements(0, out)
	return nil
}

func inferGatherElements(f *Inference) error {
	f.SetShape(0, f.Shape(1))
	return nil
}

func inferGatherND(f *Inference) error {
	s, indices := f.Shape(0), f.Shape(1)
	if s == nil || len(indices) == 0 || !indices[len(indices)-1].Known() {
		f.SetShape(0, nil)
		return nil
	}
	batch := f.Node.Int("batch_dims", 0)
	depth := indices[len(indices)-1].Size
	if batch < 0 || batch >= int64(len(indices)) || batch+depth > int64(len(s)) {
		return fmt.Errorf("indices of shape %v with %d batch axes into %v", indices, batch, s)
	}
	f.SetShape(0, joinShapes(indices[:len(indices)-1], s[batch+depth:]))
	return nil
}

func inferNonZero(f *Inference) error {
	rows := AnyDim
	if s := f.Shape(0); s != nil {
		rows = Size(int64(max(1, len(s))))
		if len(s) == 0 {
			rows = Size(0)
		}
	}
	f.Set(0, Int64, Shape{rows, AnyDim})
	return nil
}

func inferOneHot(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.Set(0, f.Elem(2), nil)
		return nil
	}
	axis, err := f.axis("axis", -1, len(s)+1)
	if err != nil {
		return err
	}
	depth := AnyDim
	if n := f.elements(1); len(n) == 1 {
		depth = n[0].dim()
	} else if t := f.Node.Input(1).Const(); t != nil && t.DType.IsFloat() && t.Len() == 1 {
		if x, err := t.Float32s(); err == nil {
			depth = Size(int64(x[0]))
		}
	}
	f.Set(0, f.Elem(2), slices.Insert(slices.Clone(s), axis, depth))
	return nil
}

func inferCompress(f *Inference) error {
	s := f.Shape(0)
	if f.Node.Attr("axis") == nil {
		f.SetShape(0, Shape{AnyDim})
		return nil
	}
	if s == nil {
		f.SetShape(0, nil)
		return nil
	}
	axis, err := f.axis("axis", 0, len(s))
	if err != nil {
		return err
	}
	out := slices.Clone(s)
	out[axis] = AnyDim
	f.SetShape(0, out)
	return nil
}

// slicing is what a Slice node asks for on each axis that it names.
type slicing struct {
	axes         []int
	starts, ends []expr
	steps        []int64
}

func inferSlice(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.SetShape(0, nil)
		return nil
	}
	cut, err := f.slicing(len(s))
	if err != nil {
		return err
	}
	if cut == nil {
		f.SetShape(0, anyShape(len(s)))
		return nil
	}
	out := slices.Clone(s)
	for i, axis := range cut.axes {
		d := dimExpr(s[axis])
		start, end, ok := sliceBounds(d, cut.starts[i], cut.ends[i], cut.steps[i])
		out[axis] = AnyDim
		if ok {
			out[axis] = sliceCount(start, end, cut.steps[i]).dim()
		}
		if list := f.elements(0); list != nil && len(s) == 1 {
			f.sliceElements(list, start, end, cut.steps[i])
		}
	}
	f.SetShape(0, out)
	return nil
}

// slicing reads a Slice node's attributes or inputs; nil where its axes or steps are not known.
func (f *Inference) slicing(rank int) (*slicing, error) {
	c := &slicing{starts: f.elements(1), ends: f.elements(2)}
	if a := f.Node.Ints("starts"); a != nil {
		c.starts, c.ends = constants(a...), constants(f.Node.Ints("ends")...)
	}
	n := max(len(c.starts), len(c.ends))
	axes, given, known := f.axesOf(3)
	if !known || !given && c.starts == nil && c.ends == nil {
		return nil, nil
	}
	if given {
		n = len(axes)
	}
	if c.starts == nil {
		c.starts = make([]expr, n)
	}
	if c.ends == nil {
		c.ends = make([]expr, n)
	}
	if !given {
		for i := range n {
			axes = append(axes, int64(i))
		}
	}
	c.steps = slices.Repeat([]int64{1}, n)
	if f.Has(4) {
		if c.steps, known = f.ints(4); !known {
			return nil, nil
		}
	}
	if len(c.starts) != n || len(c.ends) != n || len(c.steps) != n {
		return nil, fmt.Errorf("%d starts, %d ends and %d steps for %d axes", len(c.starts), len(c.ends), len(c.steps), n)
	}
	if slices.Contains(c.steps, 0) {
		return nil, fmt.Errorf("a step is 0")
	}
	var err error
	c.axes, err = f.normalAxes(axes, rank)
	return c, err
}

// sliceBounds clamps start and end into an axis of size d; ok is false where that is not known.
func sliceBounds(d, start, end expr, step int64) (from, to expr, ok bool) {
	low, high, last := constant(0), d, d
	if step < 0 {
		low, high, last = constant(-1), d.minus(constant(1)), d.minus(constant(1))
	}
	from = clampIndex(start, d, constant(0), high)
	to = clampIndex(end, d, low, last)
	if n, known := end.value(); known && n > 1 && to.equal(end) && !bounded(n, d) {
		return nil, nil, false // min(512, sequence) has no name
	}
	return from, to, from != nil && to != nil
}

// bounded reports whether n is known to be at most d.
func bounded(n int64, d expr) bool {
	size, ok := d.value()
	return ok && n <= size
}

// clampIndex counts a negative index from the end of an axis of size d and clamps it to
// low..high. Where the sizes do not tell, the index is taken to be within the axis, as
// exporters mean it: position_ids[:, :sequence].
func clampIndex(i, d, low, high expr) expr {
	if n, ok := i.value(); ok {
		switch {
		case n >= math.MaxInt32:
			return high
		case n <= math.MinInt32:
			return low
		case n < 0:
			if i = i.plus(d); i.sign() == -1 {
				return low
			}
		}
	}
	if clamped := exprMin(i, high); clamped != nil {
		return clamped
	}
	return i
}

// sliceCount is the number of elements from start to end in steps.
func sliceCount(start, end expr, step int64) expr {
	span := end.minus(start)
	if n, ok := span.value(); ok {
		return constant(rangeCount(n, step))
	}
	switch step {
	case 1:
		return span
	case -1:
		return start.minus(end)
	}
	return nil
}

func (f *Inference) sliceElements(list []expr, start, end expr, step int64) {
	from, ok := start.value()
	to, ok2 := end.value()
	if !ok || !ok2 {
		return
	}
	out := []expr{}
	for i := from; (step > 0 && i < to || step < 0 && i > to) && i >= 0 && i < int64(len(list)); i += step {
		out = append(out, list[i])
	}
	f.setElements(0, out)
}
