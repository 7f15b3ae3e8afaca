//go:build !lite

package torch

import (
	"github.com/sugarme/gotch/libtch"

	"graft/train/torch/internal/shim"
)

// MatMul is torch.matmul.
func (s *Scope) MatMul(a, b *Tensor) *Tensor { return s.binary("matmul", libtch.AtgMatmul, a, b) }

// Linear is torch.nn.functional.linear: x [..., in] times w [out, in] transposed, plus bias [out] or nil. On the CPU it computes
// in what SetFloat32MatmulPrecision chose.
func (s *Scope) Linear(x, w, bias *Tensor) *Tensor {
	if !s.ready("linear", []*Tensor{x, w}) {
		return nil
	}
	h, err := shim.Linear(x.raw(), w.raw(), bias.raw())
	return s.made("linear", h, err)
}

// Embedding is torch.nn.functional.embedding: the rows of w [n, d] that indices (integers of any shape) name.
func (s *Scope) Embedding(w, indices *Tensor) *Tensor {
	return s.op("embedding", func(out *libtch.Ctensor) { libtch.AtgEmbedding(out, w.h, indices.h, -1, 0, 0) }, w, indices)
}

// CrossEntropy is torch.nn.functional.cross_entropy, mean over the rows: logits [n, classes], targets int64 [n], or
// probabilities [n, classes].
func (s *Scope) CrossEntropy(logits, targets *Tensor) *Tensor {
	const mean, ignored = 1, -100
	return s.op("cross_entropy", func(out *libtch.Ctensor) {
		libtch.AtgCrossEntropyLoss(out, logits.h, targets.h, nil, mean, ignored, 0)
	}, logits, targets)
}

// LayerNorm is torch.nn.functional.layer_norm over the last n dimensions; w and b may be nil.
func (s *Scope) LayerNorm(x *Tensor, n int, w, b *Tensor, eps float64) *Tensor {
	return s.op("layer_norm", func(out *libtch.Ctensor) {
		shape := x.Shape()
		list, k := intList(shape[max(0, len(shape)-n):])
		libtch.AtgLayerNorm(out, x.h, list, k, w.handle(), b.handle(), eps, 1)
	}, x)
}

// ScaledDotProductAttention is torch.nn.functional.scaled_dot_product_attention: q [..., lq, d], k [..., lk, d], v
// [..., lk, dv]; mask is nil, bool (true: attend) or additive, and broadcasts to [..., lq, lk].
func (s *Scope) ScaledDotProductAttention(q, k, v, mask *Tensor, causal bool, scale float64) *Tensor {
	return s.op("scaled_dot_product_attention", func(out *libtch.Ctensor) {
		libtch.AtgScaledDotProductAttention(out, q.h, k.h, v.h, mask.handle(), 0, flag(causal), scale, 0)
	}, q, k, v)
}

// Gelu is torch.nn.functional.gelu, exact or, with tanh, approximated.
func (s *Scope) Gelu(x *Tensor, tanh bool) *Tensor {
	if !s.ready("gelu", []*Tensor{x}) {
		return nil
	}
	h, err := shim.Gelu(x.raw(), tanh)
	return s.made("gelu", h, err)
}

// RMSNorm is torch.nn.functional.rms_norm over the last n dimensions; w may be nil.
func (s *Scope) RMSNorm(x *Tensor, n int, w *Tensor, eps float64) *Tensor {
	if !s.ready("rms_norm", []*Tensor{x}) {
		return nil
	}
	h, err := shim.RMSNorm(x.raw(), n, w.raw(), eps)
	return s.made("rms_norm", h, err)
}

// Normalize is torch.nn.functional.normalize: x over its Euclidean norm along dim, the norm being at least eps.
func (s *Scope) Normalize(x *Tensor, dim int64, eps float64) *Tensor {
	if !s.ready("normalize", []*Tensor{x}) {
		return nil
	}
	h, err := shim.Normalize(x.raw(), dim, eps)
	return s.made("normalize", h, err)
}
