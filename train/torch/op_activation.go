//go:build !lite

package torch

import (
	"github.com/sugarme/gotch/libtch"
)

// activationRows are the functions that stand behind layers.
var activationRows = []opRow{
	{"", "Celu", 12, one(celu)},
	{"", "Elu", 1, one(elu)},
	{"", "Gelu", 20, one(func(c *call) *Tensor {
		return c.Gelu(c.tensor(0), c.node().Str("approximate", "none") == "tanh")
	})},
	{"", "HardSigmoid", 1, one(func(c *call) *Tensor {
		return c.hardSigmoid(c.tensor(0), c.float("alpha", 0.2), c.float("beta", 0.5))
	})},
	{"", "HardSwish", 14, one(func(c *call) *Tensor {
		return c.then(c.hardSigmoid(c.tensor(0), 1.0/6, 0.5), func(g *Tensor) *Tensor { return c.Mul(c.tensor(0), g) })
	})},
	{"", "LeakyRelu", 1, one(leakyRelu)},
	{"", "Mish", 18, unary((*Scope).Mish)},
	{"", "PRelu", 1, one(prelu)},
	{"", "Relu", 1, unary((*Scope).Relu)},
	{"", "Selu", 1, one(selu)},
	{"", "Shrink", 9, one(shrink)},
	{"", "Sigmoid", 1, unary((*Scope).Sigmoid)},
	{"", "Softplus", 1, unary((*Scope).Softplus)},
	{"", "Softsign", 1, one(softsign)},
	{"", "Swish", 24, one(swish)},
	{"", "Tanh", 1, unary((*Scope).Tanh)},
	{"", "ThresholdedRelu", 10, one(thresholdedRelu)},
	{fusedDomain, "Silu", 1, unary((*Scope).Silu)},
}

// float is an attribute, def where it is left out. The attribute is the nearest float32 to what was meant.
func (c *call) float(name string, def float64) float64 {
	if a := c.node().Attr(name); a != nil {
		return float64(a.Float)
	}
	return def
}

// exponential is max(0, x)·gain + min(0, alpha·(exp(x·rate) − 1))·gain: the family of ELU.
func (c *call) exponential(x *Tensor, alpha, gain, rate float64) *Tensor {
	low := c.MulScalar(x, rate)
	low = c.then(low, func(y *Tensor) *Tensor { return c.ClampMax(y, 0) })
	low = c.then(low, func(y *Tensor) *Tensor { return c.unary("expm1", libtch.AtgExpm1, y) })
	low = c.then(low, func(y *Tensor) *Tensor { return c.MulScalar(y, alpha*gain) })
	high := c.then(c.Relu(x), func(y *Tensor) *Tensor { return c.MulScalar(y, gain) })
	defer c.Release(low, high)
	return c.Add(high, low)
}

func elu(c *call) *Tensor {
	return c.exponential(c.tensor(0), c.float("alpha", 1), 1, 1)
}

func celu(c *call) *Tensor {
	alpha := c.float("alpha", 1)
	return c.exponential(c.tensor(0), alpha, 1, 1/alpha)
}

func selu(c *call) *Tensor {
	return c.exponential(c.tensor(0), c.float("alpha", 1.67326319217681884765625), c.float("gamma", 1.05070102214813232421875), 1)
}

// hardSigmoid is max(0, min(1, alpha·x + beta)).
func (c *call) hardSigmoid(x *Tensor, alpha, beta float64) *Tensor {
	y := c.then(c.MulScalar(x, alpha), func(y *Tensor) *Tensor { return c.AddScalar(y, beta) })
	y = c.then(y, func(y *Tensor) *Tensor { return c.ClampMin(y, 0) })
	return c.then(y, func(y *Tensor) *Tensor { return c.ClampMax(y, 1) })
}

func leakyRelu(c *call) *Tensor {
	return c.slope(c.tensor(0), func(low *Tensor) *Tensor { return c.MulScalar(low, c.float("alpha", 0.01)) })
}

func prelu(c *call) *Tensor {
	return c.slope(c.tensor(0), func(low *Tensor) *Tensor { return c.Mul(low, c.tensor(1)) })
}

// slope is x where it is positive, and f(x) elsewhere.
func (c *call) slope(x *Tensor, f func(low *Tensor) *Tensor) *Tensor {
	low := c.then(c.ClampMax(x, 0), f)
	high := c.Relu(x)
	defer c.Release(low, high)
	return c.Add(high, low)
}

// shrink moves what is beyond ±lambd toward zero by bias, and makes the rest 0.
func shrink(c *call) *Tensor {
	x, lambda, bias := c.tensor(0), c.float("lambd", 0.5), c.float("bias", 0)
	zero := c.ZerosLike(x)
	above, below := c.GtScalar(x, lambda), c.LtScalar(x, -lambda)
	up, down := c.AddScalar(x, -bias), c.AddScalar(x, bias)
	low := c.Where(below, down, zero)
	defer c.Release(zero, above, below, up, down, low)
	return c.Where(above, up, low)
}

func softsign(c *call) *Tensor {
	x := c.tensor(0)
	below := c.then(c.Abs(x), func(y *Tensor) *Tensor { return c.AddScalar(y, 1) })
	defer c.Release(below)
	return c.Div(x, below)
}

// swish is x · sigmoid(alpha·x).
func swish(c *call) *Tensor {
	x := c.tensor(0)
	gate := c.then(c.MulScalar(x, c.float("alpha", 1)), func(y *Tensor) *Tensor { return c.Sigmoid(y) })
	defer c.Release(gate)
	return c.Mul(x, gate)
}

func thresholdedRelu(c *call) *Tensor {
	x := c.tensor(0)
	keep := c.then(c.GtScalar(x, c.float("alpha", 1)), func(y *Tensor) *Tensor { return c.To(y, x.DType()) })
	defer c.Release(keep)
	return c.Mul(x, keep)
}
