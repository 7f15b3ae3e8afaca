//go:build !lite

package torch

import (
	"slices"

	"github.com/sugarme/gotch/libtch"

	"graft/graph"
)

// indexRows are the operators that choose elements by index.
var indexRows = []opRow{
	{"", "Compress", 9, one(compress)},
	{"", "Gather", 1, one(gather)},
	{"", "GatherElements", 11, one(gatherElements)},
	{"", "GatherND", 11, one(gatherND)},
	{"", "NonZero", 9, one(func(c *call) *Tensor {
		return c.then(c.unary("nonzero", libtch.AtgNonzero, c.tensor(0)), func(y *Tensor) *Tensor { return c.Transpose(y, 0, 1) })
	})},
	{"", "Scatter", 9, one(scatterElements)},
	{"", "ScatterElements", 11, one(scatterElements)},
	{"", "ScatterND", 11, one(scatterND)},
}

// gather takes slices of input 0 along an axis; the shape of the indices stands in its place. Rows of a table of weights
// are an embedding, whose indices count from 0.
func gather(c *call) *Tensor {
	x := c.tensor(0)
	if x == nil {
		return nil
	}
	shape := x.Shape()
	axis := c.axis(c.node().Int("axis", 0), len(shape))
	if h := c.value(1).h; h != nil && len(h.Shape) == 0 {
		return c.float32(c.Select(x, axis, c.ints(1)[0]))
	}
	index := c.tensor(1)
	if index == nil {
		return nil
	}
	if axis == 0 && len(shape) == 2 && c.run.program.isWeight(c.step.in[0]) {
		return c.float32(c.Embedding(x, index))
	}
	flat := c.then(c.nonNegative(index, shape[axis]), func(y *Tensor) *Tensor { return c.Reshape(y, -1) })
	y := c.then(flat, func(i *Tensor) *Tensor { return c.IndexSelect(x, axis, i) })
	return c.float32(c.then(y, func(y *Tensor) *Tensor {
		return c.Reshape(y, slices.Concat(shape[:axis], index.Shape(), shape[axis+1:])...)
	}))
}

// float32 is x, looked up in a weight: where that is kept in half precision, in the type that the graph computes in.
func (c *call) float32(x *Tensor) *Tensor {
	if x == nil || !c.run.program.isWeight(c.step.in[0]) || x.DType() != BFloat16 && x.DType() != Float16 {
		return x
	}
	return c.then(x, func(x *Tensor) *Tensor { return c.To(x, Float32) })
}

func gatherElements(c *call) *Tensor {
	x, index := c.tensor(0), c.tensor(1)
	if x == nil || index == nil {
		return nil
	}
	axis := c.axis(c.node().Int("axis", 0), x.Rank())
	at := c.then(c.To(index, Int64), func(i *Tensor) *Tensor { return c.nonNegative(i, x.Dim(int(axis))) })
	return c.then(at, func(i *Tensor) *Tensor { return c.Gather(x, axis, i) })
}

// flatIndex turns the vectors of k indices in the last axis of index into places in the first dims of a tensor, seen
// as one axis: int64, flat.
func (c *call) flatIndex(index *Tensor, dims []int64) *Tensor {
	sum := c.Zeros(Int64, index.Device())
	for i, n := range dims {
		at := c.then(c.Select(index, -1, int64(i)), func(x *Tensor) *Tensor { return c.To(x, Int64) })
		at = c.then(at, func(x *Tensor) *Tensor { return c.nonNegative(x, n) })
		at = c.then(at, func(x *Tensor) *Tensor { return c.MulScalar(x, float64(graph.Count(dims[i+1:]))) })
		next := c.Add(sum, at)
		c.Release(sum, at)
		sum = next
	}
	return c.then(sum, func(x *Tensor) *Tensor { return c.Reshape(x, -1) })
}

// gatherND takes the slices of input 0 that vectors of indices name. The first batch_dims axes are common to both.
func gatherND(c *call) *Tensor {
	x, index := c.tensor(0), c.tensor(1)
	if x == nil || index == nil {
		return nil
	}
	shape, at := x.Shape(), index.Shape()
	batch, k := int(c.node().Int("batch_dims", 0)), int(at[len(at)-1])
	if batch < 0 || batch >= len(at) || batch+k > len(shape) {
		c.failf("indices %v with %d batch axes do not fit %v", at, batch, shape)
		return nil
	}
	rest := shape[batch+k:]
	out := slices.Concat(at[:len(at)-1], rest)
	places := c.flatIndex(index, shape[batch:batch+k])
	if n := graph.Count(shape[:batch]); batch > 0 && n > 0 {
		first := c.Arange(0, float64(n), 1, Int64, x.Device())
		first = c.then(first, func(y *Tensor) *Tensor { return c.MulScalar(y, float64(graph.Count(shape[batch:batch+k]))) })
		first = c.then(first, func(y *Tensor) *Tensor { return c.Unsqueeze(y, 1) })
		places = c.then(places, func(p *Tensor) *Tensor { return c.Reshape(p, n, -1) })
		places = c.then(places, func(p *Tensor) *Tensor { return c.Add(p, first) })
		places = c.then(places, func(p *Tensor) *Tensor { return c.Reshape(p, -1) })
		c.Release(first)
	}
	flat := c.Reshape(x, append([]int64{graph.Count(shape[:batch+k])}, rest...)...)
	defer c.Release(flat, places)
	return c.then(c.IndexSelect(flat, 0, places), func(y *Tensor) *Tensor { return c.Reshape(y, out...) })
}

// scatterElements writes updates into a copy of input 0 along an axis.
func scatterElements(c *call) *Tensor {
	x, index, updates := c.tensor(0), c.tensor(1), c.tensor(2)
	if x == nil || index == nil {
		return nil
	}
	axis := c.axis(c.node().Int("axis", 0), x.Rank())
	at := c.then(c.To(index, Int64), func(i *Tensor) *Tensor { return c.nonNegative(i, x.Dim(int(axis))) })
	defer c.Release(at)
	return c.scatter(x, axis, at, updates)
}

// scatter writes updates along an axis, or adds them, as the attribute reduction says.
func (c *call) scatter(x *Tensor, axis int64, index, updates *Tensor) *Tensor {
	switch reduction := c.node().Str("reduction", "none"); reduction {
	case "none":
		return c.Scatter(x, axis, index, updates)
	case "add":
		return c.ScatterAdd(x, axis, index, updates)
	default:
		c.failf("reduction %q is not supported", reduction)
		return nil
	}
}

// scatterND writes slices into a copy of input 0 where vectors of indices say.
func scatterND(c *call) *Tensor {
	x, index, updates := c.tensor(0), c.tensor(1), c.tensor(2)
	if x == nil || index == nil {
		return nil
	}
	shape, at := x.Shape(), index.Shape()
	k := int(at[len(at)-1])
	if k > len(shape) {
		c.failf("indices %v do not fit %v", at, shape)
		return nil
	}
	inner := graph.Count(shape[k:])
	rows := c.flatIndex(index, shape[:k])
	n := rows.Len()
	rows = c.then(rows, func(r *Tensor) *Tensor { return c.Reshape(r, -1, 1) })
	rows = c.then(rows, func(r *Tensor) *Tensor { return c.Expand(r, n, inner) })
	flat := c.Reshape(x, graph.Count(shape[:k]), inner)
	source := c.Reshape(updates, n, inner)
	defer c.Release(rows, flat, source)
	return c.then(c.scatter(flat, 0, rows, source), func(y *Tensor) *Tensor { return c.Reshape(y, shape...) })
}

// compress takes the slices along an axis for which a condition holds; without an axis the elements, flat.
func compress(c *call) *Tensor {
	x := c.alias(c.tensor(0))
	if x == nil {
		return nil
	}
	axis := int64(0)
	if a := c.node().Attr("axis"); a != nil {
		axis = c.axis(a.Int, x.Rank())
	} else {
		x = c.then(x, func(x *Tensor) *Tensor { return c.Reshape(x, -1) })
	}
	at := c.then(c.unary("nonzero", libtch.AtgNonzero, c.tensor(1)), func(y *Tensor) *Tensor { return c.Reshape(y, -1) })
	defer c.Release(x, at)
	return c.IndexSelect(x, axis, at)
}
