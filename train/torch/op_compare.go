//go:build !lite

package torch

import "github.com/sugarme/gotch/libtch"

// compareRows are comparisons, logic and the choice between values.
var compareRows = []opRow{
	{"", "And", 1, binary((*Scope).And)},
	{"", "Equal", 1, binary((*Scope).Eq)},
	{"", "Greater", 1, binary((*Scope).Gt)},
	{"", "GreaterOrEqual", 12, binary((*Scope).Ge)},
	{"", "IsInf", 10, one(isInf)},
	{"", "IsNaN", 9, unary((*Scope).IsNaN)},
	{"", "Less", 1, binary((*Scope).Lt)},
	{"", "LessOrEqual", 12, binary((*Scope).Le)},
	{"", "Not", 1, unary((*Scope).Not)},
	{"", "Or", 1, binary((*Scope).Or)},
	{"", "Where", 9, one(where)},
	{"", "Xor", 1, torchBinary("logical_xor", libtch.AtgLogicalXor)},
}

func isInf(c *call) *Tensor {
	x := c.tensor(0)
	positive, negative := c.node().Int("detect_positive", 1) != 0, c.node().Int("detect_negative", 1) != 0
	switch {
	case positive && negative:
		return c.IsInf(x)
	case positive:
		return c.unary("isposinf", libtch.AtgIsposinf, x)
	case negative:
		return c.unary("isneginf", libtch.AtgIsneginf, x)
	}
	return c.then(c.IsInf(x), func(y *Tensor) *Tensor { return c.ZerosLike(y) })
}

func where(c *call) *Tensor { return c.Where(c.tensor(0), c.tensor(1), c.tensor(2)) }
