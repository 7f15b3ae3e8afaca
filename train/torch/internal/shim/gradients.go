//go:build !lite

package shim

// #include "shim.h"
import "C"

// AdamW updates each parameter that has a gradient, with torch's fused kernel.
func AdamW(params, expAvgs, expAvgSqs, steps []Handle, lr, beta1, beta2, decay, eps float64) error {
	return message(C.graft_adamw(list(params), list(expAvgs), list(expAvgSqs), list(steps), C.int(len(params)),
		C.double(lr), C.double(beta1), C.double(beta2), C.double(decay), C.double(eps)))
}

// GradNorm is the Euclidean norm of all gradients; with max > 0 it scales them to have at most that.
func GradNorm(params []Handle, max float64) (float64, error) {
	var norm C.double
	err := message(C.graft_grad_norm(list(params), C.int(len(params)), C.double(max), &norm))
	return float64(norm), err
}

// ScaleGrads multiplies all gradients.
func ScaleGrads(params []Handle, factor float64) error {
	return message(C.graft_scale_grads(list(params), C.int(len(params)), C.double(factor)))
}

// GradsFinite says whether no gradient holds an infinity or a NaN.
func GradsFinite(params []Handle) (bool, error) {
	var finite C.int
	err := message(C.graft_grads_finite(list(params), C.int(len(params)), &finite))
	return finite != 0, err
}

// ZeroGrads drops all gradients.
func ZeroGrads(params []Handle) { C.graft_zero_grads(list(params), C.int(len(params))) }
