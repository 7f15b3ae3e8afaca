//go:build !lite

package torch

// normRows are normalizations and dropout.
var normRows = []opRow{
	{"", "Dropout", 1, dropout},
	{"", "LayerNormalization", 1, layerNorm},
	{"", "LpNormalization", 1, one(lpNorm)},
	{"", "MeanVarianceNormalization", 9, one(meanVariance)},
	{"", "RMSNormalization", 23, one(rmsNorm)},
	{"", "SimplifiedLayerNormalization", 1, one(rmsNorm)},
}

// dropout zeroes elements with the probability of input 1 (up to opset 11 of the attribute ratio) in training, and does
// nothing elsewhere.
func dropout(c *call) []value {
	x := c.tensor(0)
	p := c.scalarOr(1, c.float("ratio", 0.5))
	wantsMask := c.wants(1)
	if !c.run.options.Training || p == 0 || x == nil {
		out := device(c.alias(x))
		if wantsMask && x != nil {
			out = append(out, value{t: c.Ones(Bool, x.Device(), x.Shape()...)})
		}
		return out
	}
	if wantsMask {
		c.failf("the mask of dropout is not given in training")
		return nil
	}
	return device(c.Dropout(x, p, c.run.rng()))
}

// layerNorm normalizes the axes from axis on, and gives the mean and the inverse deviation where they are read,
// which the call that libtorch has for all of it could not differentiate.
func layerNorm(c *call) []value {
	x, w, b := c.tensor(0), c.tensor(1), c.tensor(2)
	if x == nil {
		return nil
	}
	rank := x.Rank()
	n := rank - int(c.axis(c.node().Int("axis", -1), rank))
	eps := c.float("epsilon", 1e-5)
	if !c.wants(1) && !c.wants(2) {
		return device(c.LayerNorm(x, n, w, b, eps))
	}
	var axes []int64
	for i := rank - n; i < rank; i++ {
		axes = append(axes, int64(i))
	}
	mean := c.Mean(x, true, axes...)
	centered := c.Sub(x, mean)
	inverse := c.then(c.Square(centered), func(y *Tensor) *Tensor { return c.Mean(y, true, axes...) })
	inverse = c.then(inverse, func(y *Tensor) *Tensor { return c.AddScalar(y, eps) })
	inverse = c.then(inverse, c.Rsqrt)
	y := c.then(c.Mul(centered, inverse), func(y *Tensor) *Tensor { return c.Mul(y, w) })
	if b != nil {
		y = c.then(y, func(y *Tensor) *Tensor { return c.Add(y, b) })
	}
	c.Release(centered)
	return device(y, mean, inverse)
}

func rmsNorm(c *call) *Tensor {
	x := c.tensor(0)
	if x == nil {
		return nil
	}
	rank := x.Rank()
	n := rank - int(c.axis(c.node().Int("axis", -1), rank))
	return c.RMSNorm(x, n, c.tensor(1), c.float("epsilon", 1e-5))
}

// lpNorm divides by the sum of absolute values (p = 1) or the length (p = 2) along an axis.
func lpNorm(c *call) *Tensor {
	x := c.tensor(0)
	if x == nil {
		return nil
	}
	axis := c.axis(c.node().Int("axis", -1), x.Rank())
	before, after := (*Scope).Square, (*Scope).Sqrt
	if c.node().Int("p", 2) == 1 {
		before, after = (*Scope).Abs, (*Scope).alias
	}
	length := c.then(before(c.Scope, x), func(y *Tensor) *Tensor { return c.Sum(y, true, axis) })
	length = c.then(length, func(y *Tensor) *Tensor { return after(c.Scope, y) })
	defer c.Release(length)
	return c.Div(x, length)
}

// meanVariance makes the mean of axes 0 and their deviation 1.
func meanVariance(c *call) *Tensor {
	axes := c.node().Ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	mean := c.Mean(c.tensor(0), true, axes...)
	centered := c.Sub(c.tensor(0), mean)
	square := c.then(c.Square(centered), func(y *Tensor) *Tensor { return c.Mean(y, true, axes...) })
	deviation := c.then(square, func(y *Tensor) *Tensor { return c.Sqrt(y) })
	deviation = c.then(deviation, func(y *Tensor) *Tensor { return c.AddScalar(y, 1e-9) })
	defer c.Release(mean, centered, deviation)
	return c.Div(centered, deviation)
}
