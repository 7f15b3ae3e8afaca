//go:build !lite

package torch

// controlRows are the operators that choose what runs, and those that pass on what they get.
var controlRows = []opRow{
	{"", "DequantizeLinear", 10, one(dequantize)},
	{"", "Identity", 1, identity},
	{"", "If", 1, branch},
}

// identity passes on a tensor, or what the host knows.
func identity(c *call) []value {
	v := c.value(0)
	if v.t != nil {
		v.t = c.alias(v.t)
	}
	return []value{v}
}

// branch runs the steps of one of two graphs, which end in writing the outputs.
func branch(c *call) []value {
	if c.scalarOr(0, 0) != 0 {
		c.run.steps(c.step.branch[0])
	} else {
		c.run.steps(c.step.branch[1])
	}
	return nil
}

// dequantize is (x − zero point)·scale, with one scale for all, one for each index of an axis, or one for each block of an
// axis. It has no gradient to x.
func dequantize(c *call) *Tensor {
	x, scale, zero := c.tensor(0), c.tensor(1), c.tensor(2)
	if x == nil || scale == nil {
		return nil
	}
	y := c.To(x, scale.DType())
	scale = c.alignScale(x, scale)
	defer c.Release(scale)
	if zero != nil {
		z := c.then(c.alignScale(x, zero), func(z *Tensor) *Tensor { return c.To(z, scale.DType()) })
		defer c.Release(z)
		y = c.then(y, func(y *Tensor) *Tensor { return c.Sub(y, z) })
	}
	return c.then(y, func(y *Tensor) *Tensor { return c.Mul(y, scale) })
}

// alignScale gives a scale or zero point the rank of x.
func (c *call) alignScale(x, scale *Tensor) *Tensor {
	rank := x.Rank()
	if scale.Len() == 1 || rank == 0 {
		return c.Reshape(scale)
	}
	axis := c.axis(c.node().Int("axis", 1), rank)
	if block := c.node().Int("block_size", 0); block > 0 && scale.Rank() == rank {
		repeated := c.Unsqueeze(scale, axis+1)
		sizes := make([]int64, rank+1)
		for i := range sizes {
			sizes[i] = -1
		}
		sizes[axis+1] = block
		repeated = c.then(repeated, func(y *Tensor) *Tensor { return c.Expand(y, sizes...) })
		repeated = c.then(repeated, func(y *Tensor) *Tensor { return c.Flatten(y, axis, axis+1) })
		return c.then(repeated, func(y *Tensor) *Tensor { return c.Slice(y, axis, 0, x.Dim(int(axis)), 1) })
	}
	sizes := make([]int64, rank)
	for i := range sizes {
		sizes[i] = 1
	}
	sizes[axis] = -1
	return c.Reshape(scale, sizes...)
}
