//go:build !lite

package torch

// #include "shim.h"
import "C"

// ZeroGrad drops the tensor's gradient.
func (t *Tensor) ZeroGrad() { ZeroGrads([]*Tensor{t}) }

// ZeroGrads drops the gradients of params: the next backward starts anew.
func ZeroGrads(params []*Tensor) { C.graft_zero_grads(pointers(params), C.int(len(params))) }

// ScaleGrads multiplies the gradients of params by f, in place.
func ScaleGrads(params []*Tensor, f float64) error {
	return cError("scale gradients", C.graft_scale_grads(pointers(params), C.int(len(params)), C.double(f)))
}

// GradsFinite says whether no gradient of params holds an infinity or a NaN.
func GradsFinite(params []*Tensor) (bool, error) {
	var finite C.int
	err := cError("check gradients", C.graft_grads_finite(pointers(params), C.int(len(params)), &finite))
	return finite != 0, err
}

// ClipGradNorm is torch.nn.utils.clip_grad_norm_: it multiplies the gradients of params by min(1, max/(norm+1e-6)), norm
// being the Euclidean norm of them all, which it returns. With max <= 0 it only measures.
func ClipGradNorm(params []*Tensor, max float64) (norm float64, err error) {
	var n C.double
	err = cError("clip gradients", C.graft_grad_norm(pointers(params), C.int(len(params)), C.double(max), &n))
	return float64(n), err
}
