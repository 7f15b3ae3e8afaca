//go:build !lite

package torch

import "graft/train/torch/internal/shim"

// Backward adds the gradients of the scalar y to the tensors it was computed from that require one.
func (s *Scope) Backward(y *Tensor) { s.backward(y, nil) }

// BackwardWith is torch.autograd.backward([y], [grad]): the gradients of sum(y * grad), without computing that sum.
func (s *Scope) BackwardWith(y, grad *Tensor) {
	if s.ready("backward", []*Tensor{grad}) {
		s.backward(y, grad)
	}
}

func (s *Scope) backward(y, grad *Tensor) {
	if s.ready("backward", []*Tensor{y}) {
		s.check("backward", shim.Backward(y.raw(), grad.raw()))
	}
}

// NoGrad runs f with gradients off, and restores what was before, also when f panics.
func (s *Scope) NoGrad(f func()) { withGrad(shim.GradOff, f) }

// WithGrad runs f with gradients on, inside of NoGrad too.
func (s *Scope) WithGrad(f func()) { withGrad(shim.GradOn, f) }

func withGrad(mode shim.GradMode, f func()) {
	before := shim.SetGrad(mode)
	defer shim.SetGrad(before)
	f()
}

// Autocast runs f with torch's autocast to d (BFloat16 or Float16) on the kind of dev: matrix products and attention compute
// in d, what needs precision in float32, and the rest in the type it is given. Weights cast once serve until its end. What was before is restored, also when f panics.
func (s *Scope) Autocast(d DType, dev Device, f func()) {
	defer shim.AutocastBegin(int(dev.Kind), int32(d), true).End()
	f()
}

// autocastTo is the type that autocast goes down to on the kind of dev at present; 0: it is off.
func autocastTo(dev Device) DType { return DType(shim.AutocastDType(int(dev.Kind))) }

// WithoutAutocast runs f without autocast on the kind of dev, and restores what was before.
func (s *Scope) WithoutAutocast(dev Device, f func()) {
	defer shim.AutocastBegin(int(dev.Kind), int32(Float32), false).End()
	f()
}
