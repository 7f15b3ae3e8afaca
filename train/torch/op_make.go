//go:build !lite

package torch

import (
	"graft/graph"
)

// makeRows are the operators that make tensors of sizes and numbers.
var makeRows = []opRow{
	{"", "Constant", 1, constant},
	{"", "ConstantOfShape", 9, one(constantOfShape)},
	{"", "EyeLike", 9, one(eyeLike)},
	{"", "OneHot", 9, one(oneHot)},
	{"", "Range", 11, one(rangeOf)},
}

// constant stays on the host until a step wants it on the device.
func constant(c *call) []value {
	list, err := graph.Evaluate(c.node(), c.step.opset, nil)
	if err != nil {
		c.Fail(err)
		return nil
	}
	return []value{{h: list[0]}}
}

func constantOfShape(c *call) *Tensor {
	fill := graph.NewTensor("", []float32{0}, 1)
	if a := c.node().Attr("value"); a != nil && a.Tensor != nil {
		fill = a.Tensor
	}
	y := c.then(c.upload(fill, c.run.program.device), func(x *Tensor) *Tensor { return c.Reshape(x) })
	y = c.then(y, func(x *Tensor) *Tensor { return c.Expand(x, c.ints(0)...) })
	return c.then(y, c.Contiguous)
}

// eyeLike has ones on diagonal k.
func eyeLike(c *call) *Tensor {
	like := c.tensor(0)
	if like == nil {
		return nil
	}
	d := like.DType()
	if to := c.node().Int("dtype", 0); to != 0 {
		var err error
		if d, err = torchType(graph.DType(to)); err != nil {
			c.Fail(err)
		}
	}
	k := c.node().Int("k", 0)
	ones := c.Ones(d, like.Device(), like.Shape()...)
	band := c.then(ones, func(x *Tensor) *Tensor { return c.Tril(x, k) })
	return c.then(band, func(x *Tensor) *Tensor { return c.Triu(x, k) })
}

// oneHot puts a new axis with values[1] at the index and values[0] elsewhere. Indices outside of [-depth, depth) have no
// place there.
func oneHot(c *call) *Tensor {
	indices, values := c.tensor(0), c.tensor(2)
	if indices == nil || values == nil {
		return nil
	}
	depth := int64(c.scalarOr(1, 0))
	axis := c.axis(c.node().Int("axis", -1), indices.Rank()+1)
	at := c.then(c.To(indices, Int64), func(x *Tensor) *Tensor { return c.nonNegative(x, depth) })
	at = c.then(at, func(x *Tensor) *Tensor { return c.Unsqueeze(x, axis) })
	places := make([]int64, indices.Rank()+1)
	for i := range places {
		places[i] = 1
	}
	places[axis] = depth
	range0 := c.Arange(0, float64(depth), 1, Int64, indices.Device())
	range0 = c.then(range0, func(x *Tensor) *Tensor { return c.Reshape(x, places...) })
	hit := c.Eq(at, range0)
	off, on := c.Select(values, 0, 0), c.Select(values, 0, 1)
	defer c.Release(at, range0, hit, off, on)
	return c.Where(hit, on, off)
}

// rangeOf counts from input 0 to input 1, exclusive, in steps of input 2. All three have the type of the result.
func rangeOf(c *call) *Tensor {
	d := Int64
	if h := c.value(0).h; h != nil {
		var err error
		if d, err = torchType(h.DType); err != nil {
			c.Fail(err)
		}
	} else if t := c.tensor(0); t != nil {
		d = t.DType()
	}
	start, limit, delta := c.scalarOr(0, 0), c.scalarOr(1, 0), c.scalarOr(2, 1)
	if delta == 0 {
		c.failf("a step of 0")
		return nil
	}
	if (limit-start)/delta <= 0 {
		return c.Zeros(d, c.run.program.device, 0)
	}
	return c.Arange(start, limit, delta, d, c.run.program.device)
}

// nonNegative counts negative indices from the end of an axis of size n.
func (c *call) nonNegative(index *Tensor, n int64) *Tensor {
	negative := c.LtScalar(index, 0)
	moved := c.AddScalar(index, float64(n))
	defer c.Release(negative, moved)
	return c.Where(negative, moved, index)
}
