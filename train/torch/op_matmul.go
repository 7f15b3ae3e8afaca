//go:build !lite

package torch

import (
	"github.com/sugarme/gotch/libtch"
)

// matmulRows are products of matrices.
var matmulRows = []opRow{
	{"", "Einsum", 12, one(einsum)},
	{"", "Gemm", 1, one(gemm)},
	{"", "MatMul", 1, binary((*Scope).MatMul)},
	{fusedDomain, "Linear", 1, one(linear)},
}

// linear is x·Wᵀ + b, with W [out, in], or [in, out] where the attribute transposed says so. The weight is read as it is stored.
func linear(c *call) *Tensor {
	x, w, b := c.tensor(0), c.tensor(1), c.tensor(2)
	if x == nil || w == nil {
		return nil
	}
	if c.node().Int("transposed", 0) != 0 {
		t := c.T(w)
		defer c.Release(t)
		w = t
	}
	return c.linear(x, w, b)
}

// linear is x·Wᵀ + b. Where the weight is kept in half precision, the product is computed in it; autocast to that type
// does so by itself.
func (c *call) linear(x, w, b *Tensor) *Tensor {
	d, kept := x.DType(), w.DType()
	if kept != BFloat16 && kept != Float16 || d == kept || autocastTo(x.Device()) == kept {
		return c.Linear(x, w, b)
	}
	half := c.To(x, kept)
	if b != nil {
		b = c.To(b, kept)
		defer c.Release(b)
	}
	return c.then(c.then(half, func(h *Tensor) *Tensor { return c.Linear(h, w, b) }), func(y *Tensor) *Tensor { return c.To(y, d) })
}

// gemm is alpha·A·B + beta·C, with A and B transposed where transA and transB say so.
func gemm(c *call) *Tensor {
	a, b, bias := c.tensor(0), c.tensor(1), c.tensor(2)
	if a == nil || b == nil {
		return nil
	}
	a, b = c.alias(a), c.alias(b)
	defer c.Release(a, b)
	if c.node().Int("transA", 0) != 0 {
		a = c.then(a, c.T)
	}
	if c.node().Int("transB", 0) == 0 {
		b = c.then(b, c.T) // as linear wants it
	}
	alpha, beta := c.float("alpha", 1), c.float("beta", 1)
	if alpha == 1 && beta == 1 && (bias == nil || bias.Rank() == 1 && bias.Dim(0) == b.Dim(0)) {
		return c.linear(a, b, bias)
	}
	y := c.then(c.linear(a, b, nil), func(y *Tensor) *Tensor { return c.MulScalar(y, alpha) })
	if bias == nil || beta == 0 {
		return y
	}
	scaled := c.MulScalar(bias, beta)
	defer c.Release(y, scaled)
	return c.Add(y, scaled)
}

// einsum contracts its operands from left to right: torch takes the first two out and puts the result behind the others.
func einsum(c *call) *Tensor {
	list := c.tensors()
	path := []int64{0}
	if n := len(list); n > 1 {
		path = nil
		for range n - 1 {
			path = append(path, 0, 1)
		}
	}
	return c.raw("einsum", func(out *libtch.Ctensor) {
		libtch.AtgEinsum(out, c.node().Str("equation", ""), handles(list), len(list), path, len(path))
	}, list...)
}
