//go:build !lite

package torch

import (
	"math"
	"slices"

	"github.com/sugarme/gotch/libtch"

	"graft/graph"
)

// shapeRows are the operators that move elements without computing.
var shapeRows = []opRow{
	{"", "Concat", 1, one(func(c *call) *Tensor { return c.Cat(c.tensors(), c.node().Int("axis", 1)) })},
	{"", "Expand", 8, one(expand)},
	{"", "Flatten", 1, one(flatten)},
	{"", "Pad", 1, one(pad)},
	{"", "Reshape", 1, one(reshape)},
	{"", "Shape", 1, shapeOf},
	{"", "Size", 1, func(c *call) []value {
		return []value{{h: graph.NewTensor("", []int64{graph.Count(c.value(0).shape())})}}
	}},
	{"", "Slice", 1, one(slice)},
	{"", "Split", 1, split},
	{"", "Squeeze", 1, one(squeeze)},
	{"", "Tile", 6, one(func(c *call) *Tensor { return c.Repeat(c.tensor(0), c.ints(1)...) })},
	{"", "Transpose", 1, one(transpose)},
	{"", "Trilu", 14, one(trilu)},
	{"", "Unsqueeze", 1, one(unsqueeze)},
}

// shapeOf is the sizes between the axes start and end, on the host.
func shapeOf(c *call) []value {
	sizes := c.value(0).shape()
	clamp := func(x int64) int64 {
		if x < 0 {
			x += int64(len(sizes))
		}
		return min(max(x, 0), int64(len(sizes)))
	}
	start, end := clamp(c.node().Int("start", 0)), clamp(c.node().Int("end", int64(len(sizes))))
	part := sizes[start:max(start, end)]
	return []value{{h: graph.NewTensor("", part, int64(len(part)))}}
}

// expand broadcasts input 0 and the shape of input 1 with each other.
func expand(c *call) *Tensor {
	x, target := c.tensor(0), c.ints(1)
	if x == nil {
		return nil
	}
	shape := x.Shape()
	out := slices.Clone(target)
	if len(shape) > len(out) {
		out = append(slices.Clone(shape[:len(shape)-len(out)]), out...)
	}
	for i, n := range shape {
		if at := len(out) - len(shape) + i; out[at] == 1 {
			out[at] = n
		}
	}
	return c.Expand(x, out...)
}

func flatten(c *call) *Tensor {
	shape := c.tensor(0).Shape()
	axis := c.node().Int("axis", 1)
	if axis < 0 {
		axis += int64(len(shape))
	}
	if axis < 0 || axis > int64(len(shape)) {
		c.failf("axis %d of a tensor of rank %d", axis, len(shape))
		return nil
	}
	return c.Reshape(c.tensor(0), graph.Count(shape[:axis]), graph.Count(shape[axis:]))
}

// reshape copies the sizes of axes whose target is 0, unless allowzero says that they are meant.
func reshape(c *call) *Tensor {
	x, target := c.tensor(0), slices.Clone(c.intsOr(1, "shape"))
	if x == nil {
		return nil
	}
	if c.node().Int("allowzero", 0) == 0 {
		shape := x.Shape()
		for i, n := range target {
			if n == 0 && i < len(shape) {
				target[i] = shape[i]
			}
		}
	}
	return c.Reshape(x, target...)
}

// slice takes input 0 between starts and ends along axes in steps; up to opset 9 all are attributes.
func slice(c *call) *Tensor {
	starts, ends, axes, steps := c.intsOr(1, "starts"), c.intsOr(2, "ends"), c.intsOr(3, "axes"), c.ints(4)
	x := c.tensor(0)
	if x == nil {
		return nil
	}
	shape := x.Shape()
	y := c.alias(x)
	for i := range min(len(starts), len(ends)) {
		axis, step := int64(i), int64(1)
		if i < len(axes) {
			axis = c.axis(axes[i], len(shape))
		}
		if i < len(steps) {
			step = steps[i]
		}
		if step == 0 {
			c.failf("step 0 on axis %d", axis)
			return nil
		}
		y = c.then(y, func(y *Tensor) *Tensor { return c.cut(y, axis, shape[axis], starts[i], ends[i], step) })
	}
	return y
}

// cut is x[start:end:step] along an axis of size n. torch knows no negative steps: the part is taken forward and flipped.
func (c *call) cut(x *Tensor, axis, n, start, end, step int64) *Tensor {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end = max(end+n, -1)
	}
	if step > 0 {
		start = min(max(start, 0), n)
		return c.Slice(x, axis, start, max(min(end, n), start), step)
	}
	start = min(max(start, -1), n-1)
	end = min(end, n-1)
	if start <= end {
		return c.Slice(x, axis, 0, 0, 1)
	}
	count := (start - end + -step - 1) / -step
	first := start + (count-1)*step
	part := c.Slice(x, axis, first, start+1, -step)
	return c.then(part, func(y *Tensor) *Tensor { return c.Flip(y, axis) })
}

// split cuts along an axis into the given sizes, or into equal parts of which the last may be smaller.
func split(c *call) []value {
	x := c.tensor(0)
	if x == nil {
		return nil
	}
	axis := c.axis(c.node().Int("axis", 0), x.Rank())
	sizes, n := c.intsOr(1, "split"), x.Dim(int(axis))
	if sizes == nil {
		parts := int64(len(c.step.out))
		each := (n + parts - 1) / parts
		for left := n; len(sizes) < int(parts); left -= each {
			sizes = append(sizes, max(min(each, left), 0))
		}
	}
	var out []*Tensor
	at := int64(0)
	for _, size := range sizes {
		out = append(out, c.Slice(x, axis, at, at+size, 1))
		at += size
	}
	return device(out...)
}

func squeeze(c *call) *Tensor {
	x, axes := c.tensor(0), c.intsOr(1, "axes")
	if x == nil {
		return nil
	}
	shape := x.Shape()
	drop := map[int64]bool{}
	for _, a := range axes {
		a = c.axis(a, len(shape))
		if c.Err() == nil && shape[a] != 1 {
			c.failf("axis %d of shape %v is not 1", a, shape)
		}
		drop[a] = true
	}
	var out []int64
	for i, n := range shape {
		if drop[int64(i)] || axes == nil && n == 1 {
			continue
		}
		out = append(out, n)
	}
	return c.Reshape(x, out...)
}

func unsqueeze(c *call) *Tensor {
	x, axes := c.tensor(0), slices.Clone(c.intsOr(1, "axes"))
	if x == nil {
		return nil
	}
	rank := x.Rank() + len(axes)
	for i := range axes {
		axes[i] = c.axis(axes[i], rank)
	}
	slices.Sort(axes)
	y := c.alias(x)
	for _, a := range axes {
		y = c.then(y, func(y *Tensor) *Tensor { return c.Unsqueeze(y, a) })
	}
	return y
}

func transpose(c *call) *Tensor {
	perm := c.node().Ints("perm")
	if perm == nil {
		for i := range c.tensor(0).Rank() {
			perm = append([]int64{int64(i)}, perm...)
		}
	}
	return c.Permute(c.tensor(0), perm...)
}

// trilu keeps the triangle on one side of diagonal k.
func trilu(c *call) *Tensor {
	k := int64(0)
	if c.has(1) {
		k = int64(min(max(c.scalarOr(1, 0), -math.MaxInt32), math.MaxInt32))
	}
	if c.node().Int("upper", 1) != 0 {
		return c.Triu(c.tensor(0), k)
	}
	return c.Tril(c.tensor(0), k)
}

// pad adds elements before and after each axis, or takes them away where a number is negative. They have a value of their
// own or, in other modes than "constant", are those of places inside.
func pad(c *call) *Tensor {
	x, pads, axes := c.tensor(0), c.intsOr(1, "pads"), c.ints(3)
	if x == nil {
		return nil
	}
	rank := x.Rank()
	if axes == nil {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	if len(pads) != 2*len(axes) {
		c.failf("%d pads for %d axes", len(pads), len(axes))
		return nil
	}
	if mode := c.node().Str("mode", "constant"); mode != "constant" {
		y := c.alias(x)
		for i, a := range axes {
			y = c.then(y, func(y *Tensor) *Tensor { return c.padAxis(y, c.axis(a, rank), pads[i], pads[i+len(axes)], mode) })
		}
		return y
	}
	// torch lists the last axis first, before and after in turn.
	list := make([]int64, 2*rank)
	for i, a := range axes {
		at := 2 * (int64(rank) - 1 - c.axis(a, rank))
		list[at], list[at+1] = pads[i], pads[i+len(axes)]
	}
	fill := c.scalarOr(2, c.float("value", 0))
	return c.raw("pad", func(out *libtch.Ctensor) { libtch.AtgPad(out, x.h, list, len(list), "constant", fill, 0) }, x)
}

// insidePlaces say which of n places stands for place i outside of them.
var insidePlaces = map[string]func(i, n int64) int64{
	"edge": func(i, n int64) int64 { return min(max(i, 0), n-1) },
	"wrap": func(i, n int64) int64 { return (i%n + n) % n },
	"reflect": func(i, n int64) int64 {
		period := max(2*(n-1), 1)
		i = (i%period + period) % period
		return min(i, period-i)
	},
}

// padAxis repeats slices of an axis before and after it.
func (c *call) padAxis(x *Tensor, axis, before, after int64, mode string) *Tensor {
	n := x.Dim(int(axis))
	inside := insidePlaces[mode]
	if inside == nil || n == 0 {
		c.failf("mode %q of an axis of size %d", mode, n)
		return nil
	}
	var places []int64
	for i := -before; i < n+after; i++ {
		places = append(places, inside(i, n))
	}
	index := c.then(c.Int64s(places, int64(len(places))), func(y *Tensor) *Tensor { return c.ToDevice(y, x.Device()) })
	return c.then(index, func(i *Tensor) *Tensor { return c.IndexSelect(x, axis, i) })
}
