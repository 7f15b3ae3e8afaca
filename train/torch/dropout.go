//go:build !lite

package torch

import "graft/train/torch/internal/shim"

// Dropout is torch.nn.functional.dropout with the mask of r's next offset: elements are set to zero with probability p,
// rounded to 256ths, and the others multiplied by 1/(1-p). With p = 0 it is x, and takes an offset too.
//
// On the CPU an element's mask depends on seed, offset and the element's position alone, whatever the number of threads, and
// backward makes it anew instead of keeping it. On CUDA torch draws it from its generator, seeded by both.
func (s *Scope) Dropout(x *Tensor, p float64, r *RNG) *Tensor {
	now := r.next()
	if p == 0 {
		return s.Alias(x)
	}
	if !s.ready("dropout", []*Tensor{x}) {
		return nil
	}
	h, err := shim.Dropout(x.raw(), p, now.Seed, now.Offset, false)
	return s.made("dropout", h, err)
}

// AttentionDropout is ScaledDotProductAttention whose weights, after the softmax, are dropped as by Dropout. With p = 0 it
// computes what that function does, in bfloat16 with a backward several times as fast on the CPU.
//
// On the CPU it never holds all weights: it computes them tile by tile, and in backward once more ("FlashAttention", Dao et
// al., 2022). The mask may require a gradient.
func (s *Scope) AttentionDropout(q, k, v, mask *Tensor, causal bool, scale, p float64, r *RNG) *Tensor {
	now := r.next()
	if !s.ready("attention", []*Tensor{q, k, v}) {
		return nil
	}
	h, err := shim.Attention(q.raw(), k.raw(), v.raw(), mask.raw(), causal, scale, p, now.Seed, now.Offset)
	return s.made("attention", h, err)
}
