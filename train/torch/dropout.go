//go:build !lite

package torch

import "github.com/sugarme/gotch/libtch"

// Dropout sets elements of x to zero with probability p and scales the others.
func (s *Scope) Dropout(x *Tensor, p float64, r *RNG) *Tensor {
	r.next()
	return s.op("dropout", func(out *libtch.Ctensor) { libtch.AtgDropout(out, x.h, p, 1) }, x)
}

// AttentionDropout is ScaledDotProductAttention whose weights are dropped with probability p.
func (s *Scope) AttentionDropout(q, k, v, mask *Tensor, causal bool, scale, p float64, r *RNG) *Tensor {
	r.next()
	return s.op("scaled_dot_product_attention", func(out *libtch.Ctensor) {
		libtch.AtgScaledDotProductAttention(out, q.h, k.h, v.h, mask.handle(), p, flag(causal), scale, 0)
	}, q, k, v)
}
