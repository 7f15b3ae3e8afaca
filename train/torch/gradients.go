//go:build !lite

package torch

import "graft/train/torch/internal/shim"

// ZeroGrad drops the tensor's gradient.
func (t *Tensor) ZeroGrad() { ZeroGrads([]*Tensor{t}) }

// ZeroGrads drops the gradients of params: the next backward starts anew.
func ZeroGrads(params []*Tensor) { shim.ZeroGrads(raws(params)) }

// ScaleGrads multiplies the gradients of params by f, in place.
func ScaleGrads(params []*Tensor, f float64) error {
	return stepError("scale gradients", shim.ScaleGrads(raws(params), f))
}

// GradsFinite says whether no gradient of params holds an infinity or a NaN.
func GradsFinite(params []*Tensor) (bool, error) {
	finite, err := shim.GradsFinite(raws(params))
	return finite, stepError("check gradients", err)
}

// ClipGradNorm is torch.nn.utils.clip_grad_norm_: it multiplies the gradients of params by min(1, max/(norm+1e-6)), norm
// being the Euclidean norm of them all, which it returns. With max <= 0 it only measures.
func ClipGradNorm(params []*Tensor, max float64) (norm float64, err error) {
	norm, err = shim.GradNorm(raws(params), max)
	return norm, stepError("clip gradients", err)
}
