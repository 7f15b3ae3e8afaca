package graph

import (
	"fmt"
	"slices"
)

// shapeOps rearrange, repeat or describe a tensor without looking at its elements.
var shapeOps = []Op{
	{Name: "Concat", Since: 1, In: atLeast(1), Out: one, Infer: inferConcat, Fold: foldConcat},
	{Name: "DepthToSpace", Since: 1, In: one, Out: one, Infer: inferDepthToSpace},
	{Name: "Expand", Since: 8, In: exactly(2), Out: one, Infer: inferExpand, Fold: foldExpand},
	{Name: "EyeLike", Since: 9, In: one, Out: one, Infer: inferEyeLike},
	{Name: "Flatten", Since: 1, In: one, Out: one, Infer: inferFlatten, Fold: foldFlatten},
	{Name: "Pad", Since: 1, In: one, Out: one, Infer: inferPad},
	{Name: "Pad", Since: 11, In: between(2, 3), Out: one, Infer: inferPad},
	{Name: "Pad", Since: 18, In: between(2, 4), Out: one, Infer: inferPad},
	{Name: "Range", Since: 11, In: exactly(3), Out: one, Infer: inferRange, Fold: foldRange},
	{Name: "Reshape", Since: 1, In: one, Out: one, Infer: inferReshape, Fold: foldReshape},
	{Name: "Reshape", Since: 5, In: exactly(2), Out: one, Infer: inferReshape, Fold: foldReshape},
	{Name: "ReverseSequence", Since: 10, In: exactly(2), Out: one, Infer: sameAs0},
	{Name: "Shape", Since: 1, In: one, Out: one, Infer: inferShapeOp, Fold: foldShape},
	{Name: "Size", Since: 1, In: one, Out: one, Infer: inferSize, Fold: foldSize},
	{Name: "SpaceToDepth", Since: 1, In: one, Out: one, Infer: inferSpaceToDepth},
	{Name: "Split", Since: 1, In: between(1, 2), Out: atLeast(1), Infer: inferSplit},
	{Name: "Split", Since: 2, In: one, Out: atLeast(1), Infer: inferSplit, Fold: foldSplit},
	{Name: "Split", Since: 13, In: between(1, 2), Out: atLeast(1), Infer: inferSplit, Fold: foldSplit},
	{Name: "Squeeze", Since: 1, In: one, Out: one, Infer: inferSqueeze, Fold: foldSqueeze},
	{Name: "Squeeze", Since: 13, In: between(1, 2), Out: one, Infer: inferSqueeze, Fold: foldSqueeze},
	{Name: "Tile", Since: 1, In: exactly(3), Out: one},
	{Name: "Tile", Since: 6, In: exactly(2), Out: one, Infer: inferTile, Fold: foldTile},
	{Name: "Transpose", Since: 1, In: one, Out: one, Infer: inferTranspose, Fold: foldTranspose},
	{Name: "Trilu", Since: 14, In: between(1, 2), Out: one, Infer: sameAs0, Fold: foldTrilu},
	{Name: "Unsqueeze", Since: 1, In: one, Out: one, Infer: inferUnsqueeze, Fold: foldUnsqueeze},
	{Name: "Unsqueeze", Since: 13, In: exactly(2), Out: one, Infer: inferUnsqueeze, Fold: foldUnsqueeze},
}

// axesOf reads axes from the attribute or from input i, which replaced it; known is false
// where the input's elements are not known, and given is false where there are no axes.
func (f *Inference) axesOf(i int) (axes []int64, given, known bool) {
	if axes := f.Node.Ints("axes"); axes != nil {
		return axes, true, true
	}
	if !f.Has(i) {
		return nil, false, true
	}
	axes, known = f.ints(i)
	return axes, true, known
}

// normalAxes counts axes from the front and refuses what is out of range or given twice.
func (f *Inference) normalAxes(axes []int64, rank int) ([]int, error) {
	out := make([]int, len(axes))
	for i, a := range axes {
		axis, err := f.checkAxis(a, rank)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out[:i], axis) {
			return nil, fmt.Errorf("axis %d is given twice", a)
		}
		out[i] = axis
	}
	return out, nil
}

func inferShapeOp(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.Set(0, Int64, Shape{AnyDim})
		return nil
	}
	start, end := shapeRange(f.Node, len(s))
	f.Set(0, Int64, Dims(int64(end-start)))
	f.setElements(0, shapeExprs(s[start:end]))
	return nil
}

// shapeRange is the range of axes that a Shape node reads: start and end clamped as in Operators.md.
func shapeRange(n *Node, rank int) (start, end int) {
	clamp := func(x int64) int {
		if x < 0 {
			x += int64(rank)
		}
		return int(min(max(x, 0), int64(rank)))
	}
	start, end = clamp(n.Int("start", 0)), clamp(n.Int("end", int64(rank)))
	return start, max(start, end)
}

func inferSize(f *Inference) error {
	f.Set(0, Int64, Dims())
	if s := f.Shape(0); s != nil {
		f.setElements(0, []expr{product(shapeExprs(s))})
	}
	return nil
}

func inferReshape(f *Inference) error {
	target := f.elements(1)
	if dims := f.Node.Ints("shape"); dims != nil {
		target = constants(dims...)
	}
	if target == nil {
		rank := f.Shape(1)
		if len(rank) == 1 && rank[0].Known() && rank[0].Size <= mostElements {
			f.SetShape(0, anyShape(int(rank[0].Size)))
		} else {
			f.SetShape(0, nil)
		}
		return nil
	}
	out, err := reshape(f.Shape(0), target, f.Node.Int("allowzero", 0) != 0)
	if err != nil {
		return err
	}
	if len(out) <= 1 {
		f.setElements(0, f.elements(0))
	}
	f.SetShape(0, out)
	return nil
}

// reshape is the shape that in takes by target, where 0 copies a size (unless allowZero) and -1 is what remains.
func reshape(in Shape, target []expr, allowZero bool) (Shape, error) {
	out := make([]expr, len(target))
	infer := -1
	for i, e := range target {
		n, known := e.value()
		switch {
		case known && n == 0 && !allowZero:
			if in != nil && i >= len(in) {
				return nil, fmt.Errorf("target size 0 on axis %d copies no axis of %v", i, in)
			}
			if in != nil {
				out[i] = dimExpr(in[i])
			}
		case known && n == -1:
			if infer >= 0 {
				return nil, fmt.Errorf("target shape has -1 on axes %d and %d", infer, i)
			}
			infer = i
		case known && n < 0:
			return nil, fmt.Errorf("target size %d on axis %d", n, i)
		default:
			out[i] = e
		}
	}
	if in == nil {
		return shapeOf(out)
	}
	total, have := remaining(in, out, infer)
	if infer >= 0 {
		out[infer] = total.over(have)
		if n, ok := total.value(); ok && out[infer] == nil {
			if m, ok := have.value(); ok && (m != 0 || n != 0) {
				return nil, fmt.Errorf("%v has %d elements, not a multiple of %d", in, n, m)
			}
		}
	} else if n, ok := total.value(); ok {
		if m, ok := have.value(); ok && n != m {
			return nil, fmt.Errorf("%v has %d elements, target shape %v has %d", in, n, out, m)
		}
	}
	return shapeOf(out)
}

// remaining multiplies the sizes of both sides of a reshape, leaving out unknown or symbolic sizes that are copied over.
func remaining(in Shape, out []expr, infer int) (total, have expr) {
	a, b := shapeExprs(in), slices.Clone(out)
	for i := range b {
		if i == infer {
			b[i] = constant(1)
			continue
		}
		// An axis that is kept, known or not, says nothing of the rest.
		if i < len(in) && i != infer && (b[i] == nil && in[i] == AnyDim || b[i].equal(dimExpr(in[i])) && !in[i].Known()) {
			a[i], b[i] = constant(1), constant(1)
		}
	}
	return product(a), product(b)
}

func inferSqueeze(f *Inference) error {
	s := f.Shape(0)
	axes, given, known := f.axesOf(1)
	f.setElements(0, f.elements(0))
	if s == nil || !known {
		f.SetShape(0, nil)
		return nil
	}
	drop, err := f.normalAxes(axes, len(s))
	if err != nil {
		return err
	}
	out := Dims()
	for i, d := range s {
		switch {
		case !given && !d.Known():
			f.SetShape(0, nil)
			return nil
		case !given && d.Size == 1:
		case slices.Contains(drop, i):
			if d.Known() && d.Size != 1 {
				return fmt.Errorf("axis %d has size %v, want 1", i, d)
			}
		default:
			out = append(out, d)
		}
	}
	f.SetShape(0, out)
	return nil
}

func inferUnsqueeze(f *Inference) error {
	s := f.Shape(0)
	axes, _, known := f.axesOf(1)
	if s == nil || !known {
		f.SetShape(0, nil)
		return nil
	}
	added, err := f.normalAxes(axes, len(s)+len(axes))
	if err != nil {
		return err
	}
	out := Dims()
	for i := range len(s) + len(axes) {
		if slices.Contains(added, i) {
			out = append(out, Size(1))
		} else {
			out = append(out, s[i-countBelow(added, i)])
		}
	}
	if len(out) <= 1 {
		f.setElements(0, f.elements(0))
	}
	f.SetShape(0, out)
	return nil
}

func countBelow(list []int, x int) int {
	n := 0
	for _, y := range list {
		if y < x {
			n++
		}
	}
	return n
}

func inferFlatten(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.SetShape(0, anyShape(2))
		return nil
	}
	axis := int(f.Node.Int("axis", 1))
	if axis < -len(s) || axis > len(s) {
		return fmt.Errorf("axis %d of a tensor of rank %d", axis, len(s))
	}
	if axis < 0 {
		axis += len(s)
	}
	e := shapeExprs(s)
	f.SetShape(0, Shape{product(e[:axis]).dim(), product(e[axis:]).dim()})
	return nil
}

func inferTranspose(f *Inference) error {
	s := f.Shape(0)
	if s == nil {
		f.SetShape(0, nil)
		return nil
	}
	perm, err := permutation(f.Node, len(s))
	if err != nil {
		return err
	}
	out := make(Shape, len(s))
	for i, p := range perm {
		out[i] = s[p]
	}
	f.SetShape(0, out)
	return nil
}

// permutation reads a Transpose node's perm, by default all axes reversed.
func permutation(n *Node, rank int) ([]int, error) {
	perm := make([]int, rank)
	given := n.Ints("perm")
	if given != nil && len(given) != rank {
		return nil, fmt.Errorf("perm %v of a tensor of rank %d", given, rank)
	}
	seen := make([]bool, rank)
	for i := range perm {
		p := int64(rank - 1 - i)
		if given != nil {
			p = given[i]
		}
		if p < 0 {
			p += int64(rank)
		}
		if p < 0 || p >= int64(rank) || seen[p] {
			return nil, fmt.Errorf("perm %v of a tensor of rank %d", given, rank)
		}
		perm[i], seen[p] = int(p), true
	}
	return perm, nil
}

func inferConcat(f *Inference) error {
	f.concatElements()
	var out Shape
	for i := range f.Node.Inputs {
		s := f.Shape(i)
		if s == nil {
			f.SetShape(0, nil)
			return nil
		}
		axis, err := f.axis("axis", 1, len(s))
		if err != nil {
			return err
		}
		if out == nil {
			out = slices.Clone(s)
			continue
		}
		sum := AnyDim
		if len(s) == len(out) {
			sum = dimExpr(out[axis]).plus(dimExpr(s[axis])).dim()
			s = slices.Clone(s)
			s[axis], out[axis] = AnyDim, AnyDim
		}
		if out, err = unifyShapes(out, s); err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
		out[axis] = sum
	}
	f.SetShape(0, out)
	return nil
}

// concatElements joins the elements of vectors; an input of unknown elements but known length counts as unknown elements.
func (f *Inference) concatElements() {
	var all []expr
	for i := range f.Node.Inputs {
		s := f.Shape(i)
		if len(s) != 1 || f.Elem(i) != Int64 && f.Elem(i) != Int32 {
			return
		}
		list := f.elements(i)
		if list == nil {
			if !s[0].Known() || s[0].Size > mostElements {
				return
			}
			list = make([]expr, s[0].Size)
		}
		if all = append(all, list...); len(all) > mostElements {
			return
		}
	}
	f.setElements(0, all)
}
