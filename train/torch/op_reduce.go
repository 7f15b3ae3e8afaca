//go:build !lite

package torch

import (
	"slices"

	"github.com/sugarme/gotch/libtch"
)

// reduceRows are the operators that join the elements of axes, and those that look at whole axes.
var reduceRows = []opRow{
	{"", "ArgMax", 1, one(argExtreme((*Scope).ArgMax))},
	{"", "ArgMin", 1, one(argExtreme(argMin))},
	{"", "CumSum", 11, one(cumSum)},
	{"", "Hardmax", 1, one(flattened(1, hardmax))},
	{"", "Hardmax", 13, one(hardmaxOf)},
	{"", "LogSoftmax", 1, one(flattened(1, (*Scope).LogSoftmax))},
	{"", "LogSoftmax", 13, one(alongAxis((*Scope).LogSoftmax))},
	{"", "ReduceL1", 1, one(reduction{before: (*Scope).Abs, join: (*Scope).Sum}.run)},
	{"", "ReduceL2", 1, one(reduction{before: (*Scope).Square, join: (*Scope).Sum, after: (*Scope).Sqrt}.run)},
	{"", "ReduceLogSum", 1, one(reduction{join: (*Scope).Sum, after: (*Scope).Log}.run)},
	{"", "ReduceLogSumExp", 1, one(reduction{join: logSumExp}.run)},
	{"", "ReduceMax", 1, one(reduction{join: (*Scope).Max}.run)},
	{"", "ReduceMean", 1, one(reduction{join: (*Scope).Mean}.run)},
	{"", "ReduceMin", 1, one(reduction{join: (*Scope).Min}.run)},
	{"", "ReduceProd", 1, one(reduction{join: product}.run)},
	{"", "ReduceSum", 1, one(reduction{join: (*Scope).Sum}.run)},
	{"", "ReduceSumSquare", 1, one(reduction{before: (*Scope).Square, join: (*Scope).Sum}.run)},
	{"", "Softmax", 1, one(flattened(1, (*Scope).Softmax))},
	{"", "Softmax", 13, one(alongAxis((*Scope).Softmax))},
	{"", "TopK", 1, topK},
}

// reduction joins the elements of axes, between a function of each element and one of each result.
type reduction struct {
	before, after func(s *Scope, x *Tensor) *Tensor
	join          func(s *Scope, x *Tensor, keep bool, dims ...int64) *Tensor
}

// run takes the axes from input 1 or, in older operator sets, from an attribute. None means all of them, unless
// noop_with_empty_axes says that it means none.
func (r reduction) run(c *call) *Tensor {
	x, axes := c.tensor(0), slices.Clone(c.intsOr(1, "axes"))
	if x == nil {
		return nil
	}
	rank, d := x.Rank(), x.DType()
	for i := range axes {
		axes[i] = c.axis(axes[i], rank)
	}
	noop := len(axes) == 0 && c.node().Int("noop_with_empty_axes", 0) != 0
	if len(axes) == 0 {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	y := c.alias(x)
	if r.before != nil {
		y = c.then(y, func(y *Tensor) *Tensor { return r.before(c.Scope, y) })
	}
	if !noop && rank > 0 {
		y = c.then(y, func(y *Tensor) *Tensor { return r.join(c.Scope, y, c.node().Int("keepdims", 1) != 0, axes...) })
	}
	if r.after != nil {
		y = c.then(y, func(y *Tensor) *Tensor { return r.after(c.Scope, y) })
	}
	if d.Floating() || y == nil {
		return y
	}
	return c.then(y, func(y *Tensor) *Tensor { return c.To(y, d) }) // torch widens sums of integers
}

func logSumExp(s *Scope, x *Tensor, keep bool, dims ...int64) *Tensor {
	return s.reduce("logsumexp", libtch.AtgLogsumexp, x, keep, dims)
}

// product goes through the axes from the last to the first, so that those before it keep their places.
func product(s *Scope, x *Tensor, keep bool, dims ...int64) *Tensor {
	dims = slices.Clone(dims)
	slices.Sort(dims)
	y := s.alias(x)
	for _, d := range slices.Backward(dims) {
		next := s.Prod(y, d, keep)
		s.Release(y)
		y = next
	}
	return y
}

// alongAxis is the form of opset 13 on: one axis, by default the last.
func alongAxis(f func(s *Scope, x *Tensor, dim int64) *Tensor) func(c *call) *Tensor {
	return func(c *call) *Tensor { return f(c.Scope, c.tensor(0), c.node().Int("axis", -1)) }
}

// flattened is the form before opset 13: all axes from the given one on count as one.
func flattened(def int64, f func(s *Scope, x *Tensor, dim int64) *Tensor) func(c *call) *Tensor {
	return func(c *call) *Tensor {
		x := c.tensor(0)
		if x == nil {
			return nil
		}
		shape := x.Shape()
		axis := c.axis(c.node().Int("axis", def), len(shape))
		y := c.Reshape(x, append(slices.Clone(shape[:axis]), -1)...)
		y = c.then(y, func(y *Tensor) *Tensor { return f(c.Scope, y, axis) })
		return c.then(y, func(y *Tensor) *Tensor { return c.Reshape(y, shape...) })
	}
}

func hardmaxOf(c *call) *Tensor { return alongAxis(hardmax)(c) }

// hardmax is 1 at the first largest element of an axis, 0 elsewhere.
func hardmax(s *Scope, x *Tensor, dim int64) *Tensor {
	at := s.ArgMax(x, dim, true)
	zero, oneAt := s.ZerosLike(x), s.OnesLike(x)
	defer s.Release(at, zero, oneAt)
	return s.Scatter(zero, dim, at, oneAt)
}

func argMin(s *Scope, x *Tensor, dim int64, keep bool) *Tensor {
	return s.op("argmin", func(out *libtch.Ctensor) { libtch.AtgArgmin(out, x.h, dim, 0, flag(keep)) }, x)
}

// argExtreme is the index of the first extreme element of an axis, or of the last.
func argExtreme(f func(s *Scope, x *Tensor, dim int64, keep bool) *Tensor) func(c *call) *Tensor {
	return func(c *call) *Tensor {
		x := c.tensor(0)
		if x == nil {
			return nil
		}
		axis := c.axis(c.node().Int("axis", 0), x.Rank())
		keep := c.node().Int("keepdims", 1) != 0
		if c.node().Int("select_last_index", 0) == 0 {
			return f(c.Scope, x, axis, keep)
		}
		y := c.then(c.Flip(x, axis), func(y *Tensor) *Tensor { return f(c.Scope, y, axis, keep) })
		y = c.then(y, func(y *Tensor) *Tensor { return c.Neg(y) })
		return c.then(y, func(y *Tensor) *Tensor { return c.AddScalar(y, float64(x.Dim(int(axis))-1)) })
	}
}

// cumSum adds up along the axis that input 1 names, from the end with reverse, without the element itself with exclusive.
func cumSum(c *call) *Tensor {
	x, axes := c.tensor(0), c.ints(1)
	if x == nil || len(axes) != 1 {
		c.failf("want one axis")
		return nil
	}
	axis := c.axis(axes[0], x.Rank())
	reverse := c.node().Int("reverse", 0) != 0
	y := c.alias(x)
	if reverse {
		y = c.then(y, func(y *Tensor) *Tensor { return c.Flip(y, axis) })
	}
	sum := c.then(c.CumSum(y, axis), func(sum *Tensor) *Tensor { return c.To(sum, x.DType()) })
	if c.node().Int("exclusive", 0) != 0 {
		sum = c.then(sum, func(sum *Tensor) *Tensor { return c.Sub(sum, y) })
	}
	c.Release(y)
	if reverse {
		sum = c.then(sum, func(sum *Tensor) *Tensor { return c.Flip(sum, axis) })
	}
	return sum
}

// topK gives the k largest or smallest elements of an axis, and their indices; of equal elements the first.
func topK(c *call) []value {
	x := c.tensor(0)
	if x == nil {
		return nil
	}
	k := c.node().Int("k", 0)
	if c.has(1) {
		k = int64(c.scalarOr(1, 0))
	}
	axis := c.axis(c.node().Int("axis", -1), x.Rank())
	var out [2]libtch.Ctensor
	values := c.raw("sort", func(first *libtch.Ctensor) {
		libtch.AtgSortStable(&out[0], x.h, 1, axis, int32(c.node().Int("largest", 1)))
		*first = out[0]
	}, x)
	if values == nil {
		return nil
	}
	indices := c.Own(newTensor(out[1], nil))
	best := func(y *Tensor) *Tensor { return c.Slice(y, axis, 0, k, 1) }
	return device(c.then(values, best), c.then(indices, best))
}
