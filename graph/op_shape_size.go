package graph

import (
	"fmt"
	"math"
	"slices"
)

// This file holds the shape operators whose result is larger or smaller than their input.

func inferExpand(f *Inference) error {
	target := f.elements(1)
	if target == nil {
		s := f.Shape(1)
		if len(s) == 1 && s[0].Known() && s[0].Size <= mostElements && len(f.Shape(0)) <= int(s[0].Size) && f.Shape(0) != nil {
			f.SetShape(0, anyShape(int(s[0].Size)))
		} else {
			f.SetShape(0, nil)
		}
		return nil
	}
	to, err := shapeOf(target)
	if err != nil {
		return err
	}
	out, err := broadcastShapes(f.Shape(0), to)
	if err != nil {
		return err
	}
	if in := f.elements(0); len(in) == 1 && len(out) == 1 && out[0].Known() && out[0].Size <= mostElements {
		f.setElements(0, slices.Repeat(in, int(out[0].Size)))
	}
	f.SetShape(0, out)
	return nil
}

func inferTile(f *Inference) error {
	s, repeats := f.Shape(0), f.elements(1)
	if s == nil {
		f.SetShape(0, nil)
		return nil
	}
	out := anyShape(len(s))
	if repeats != nil {
		if len(repeats) != len(s) {
			return fmt.Errorf("%d repeats for shape %v", len(repeats), s)
		}
		for i := range s {
			out[i] = dimExpr(s[i]).times(repeats[i]).dim()
		}
	}
	f.SetShape(0, out)
	return nil
}

func inferPad(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.SetShape(0, nil)
		return nil
	}
	pads := f.elements(1)
	for _, name := range []string{"pads", "paddings"} {
		if p := f.Node.Ints(name); p != nil {
			pads = constants(p...)
		}
	}
	axes, err := f.padAxes(len(s))
	if err != nil {
		return err
	}
	if pads == nil || axes == nil {
		f.SetShape(0, anyShape(len(s)))
		return nil
	}
	if len(pads) != 2*len(axes) {
		return fmt.Errorf("%d pads for %d axes", len(pads), len(axes))
	}
	out := slices.Clone(s)
	for i, axis := range axes {
		out[axis] = dimExpr(s[axis]).plus(pads[i]).plus(pads[i+len(axes)]).dim()
	}
	f.SetShape(0, out)
	return nil
}

// padAxes are the axes that a Pad node pads: all, or those that input 3 lists; nil where that is not known.
func (f *Inference) padAxes(rank int) ([]int, error) {
	if f.Has(3) {
		list, ok := f.ints(3)
		if !ok {
			return nil, nil
		}
		return f.normalAxes(list, rank)
	}
	all := make([]int, rank)
	for i := range all {
		all[i] = i
	}
	return all, nil
}

func inferRange(f *Inference) error {
	size := AnyDim
	start, limit, delta := f.elements(0), f.elements(1), f.elements(2)
	if len(start) == 1 && len(limit) == 1 && len(delta) == 1 {
		span := limit[0].minus(start[0])
		step, ok := delta[0].value()
		if ok && step == 0 {
			return fmt.Errorf("the step of the range is 0")
		}
		if n, known := span.value(); known && ok {
			count := rangeCount(n, step)
			size = Size(count)
			f.rangeElements(start[0], step, count)
		} else if ok && step == 1 {
			size = span.dim()
		}
	} else if n, ok := f.floatRange(); ok {
		size = Size(n)
	}
	f.SetShape(0, Shape{size})
	return nil
}

// rangeCount is the number of integers from 0 to span, span left out, in steps.
func rangeCount(span, step int64) int64 {
	if step == 0 || (span > 0) != (step > 0) || span == 0 {
		return 0
	}
	n := span / step
	if span%step != 0 {
		n++
	}
	return n
}

// floatRange counts the elements of a Range between floating-point constants.
func (f *Inference) floatRange() (int64, bool) {
	var x [3]float64
	for i := range x {
		t := f.Node.Input(i).Const()
		if t == nil || !t.DType.IsFloat() || t.Len() != 1 {
			return 0, false
		}
		values, err := t.Float32s()
		if err != nil {
			return 0, false
		}
		x[i] = float64(values[0])
	}
	n := math.Ceil((x[1] - x[0]) / x[2])
	if math.IsNaN(n) || n > math.MaxInt32 {
		return 0, false
	}
	return int64(max(n, 0)), true
}

func (f *Inference) rangeElements(start expr, step, count int64) {
	if count > mostElements {
		return
	}
	list := make([]expr, count)
	for i := range list {
		list[i] = start.plus(constant(int64(i) * step))
	}
	f.setElements(0, list)
}

func inferEyeLike(f *Inference) error {
	elem := f.Elem(0)
	if to := f.Node.Int("dtype", 0); to != 0 {
		elem = DType(to)
	}
	f.Set(0, elem, f.Shape(0))
	return nil
}

func inferSplit(f *Inference) error {
	s := f.Shape(0)
	if len(f.out) == 0 {
		return nil
	}
	if s == nil {
		for i := range f.out {
			f.SetShape(i, nil)
		}
		return nil
	}
	axis, err := f.axis("axis", 0, len(s))
	if err != nil {
		return err
	}
	sizes, err := f.splitSizes(s[axis])
	if err != nil {
		return err
	}
	at := int64(0)
	for i := range f.out {
		out := slices.Clone(s)
		out[axis] = sizes[i]
		f.SetShape(i, out)
		if list := f.elements(0); list != nil && sizes[i].Known() && at+sizes[i].Size <= int64(len(list)) {
			f.setElements(i, list[at:at+sizes[i].Size])
			at += sizes[i].Size
		}
	}
	return nil
}

// splitSizes are the sizes of the parts along the split axis, one for each output.
func (f *Inference) splitSizes(d Dim) ([]Dim, error) {
	n := len(f.out)
	parts := f.elements(1)
	if list := f.Node.Ints("split"); list != nil {
		parts = constants(list...)
	}
	out := make([]Dim, n)
	if parts == nil && f.Has(1) {
		return anyShape(n), nil
	}
	if parts != nil {
		if len(parts) != n {
			return nil, fmt.Errorf("%d sizes for %d outputs", len(parts), n)
		}
		if total, ok := sumOf(parts).value(); ok && d.Known() && total != d.Size {
			return nil, fmt.Errorf("sizes %v do not sum to %v", parts, d)
		}
		for i, e := range parts {
			out[i] = e.dim()
		}
		return out, nil
	}
	if !d.Known() {
		each := dimExpr(d).over(constant(int64(n))).dim()
		return slices.Repeat([]Dim{each}, n), nil
	}
	each := (d.Size + int64(n) - 1) / int64(n) // the last part is smaller where n does not divide
	for i := range out {
		out[i] = Size(max(0, min(each, d.Size-int64(i)*each)))
	}
	return out, nil
}

func sumOf(list []expr) expr {
	s := constant(0)
	for _, e := range list {
		s = s.plus(e)
	}
	return s
}

func inferDepthToSpace(f *Inference) error {
	return inferBlocks(f, func(s []expr, b expr) []expr {
		return []expr{s[0], s[1].over(b.times(b)), s[2].times(b), s[3].times(b)}
	})
}

func inferSpaceToDepth(f *Inference) error {
	return inferBlocks(f, func(s []expr, b expr) []expr {
		return []expr{s[0], s[1].times(b).times(b), s[2].over(b), s[3].over(b)}
	})
}

func inferBlocks(f *Inference, shape func(s []expr, block expr) []expr) error {
	if err := f.wantRank(0, 4); err != nil {
		return err
	}
	out := anyShape(4)
	if s := f.Shape(0); s != nil {
		for i, e := range shape(shapeExprs(s), constant(f.Node.Int("blocksize", 1))) {
			out[i] = e.dim()
		}
	}
	f.SetShape(0, out)
	return nil
}
