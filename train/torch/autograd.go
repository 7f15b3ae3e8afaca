//go:build !lite

package torch

// #include "shim.h"
import "C"

// Backward adds the gradients of the scalar y to the tensors it was computed from that require one.
func (s *Scope) Backward(y *Tensor) { s.backward(y, nil) }

// BackwardWith is torch.autograd.backward([y], [grad]): the gradients of sum(y * grad), without computing that sum.
func (s *Scope) BackwardWith(y, grad *Tensor) {
	if s.ready("backward", []*Tensor{grad}) {
		s.backward(y, grad)
	}
}

func (s *Scope) backward(y, grad *Tensor) {
	if !s.ready("backward", []*Tensor{y}) {
		return
	}
	if err := cError("backward", C.graft_backward(pointer(y), pointer(grad))); err != nil {
		s.Fail(err)
	}
}

// NoGrad runs f with gradients off, and restores what was before, also when f panics.
func (s *Scope) NoGrad(f func()) { withGrad(false, f) }

// WithGrad runs f with gradients on, inside of NoGrad too.
func (s *Scope) WithGrad(f func()) { withGrad(true, f) }

// Bits of graft_set_grad: gradients, and autocast's cache of cast weights, which is off while they are.
const (
	gradOn  = 1
	cacheOn = 2
)

func withGrad(on bool, f func()) {
	mode := C.int(0)
	if on {
		mode = gradOn | cacheOn
	}
	before := C.graft_set_grad(mode)
	defer C.graft_set_grad(before)
	f()
}

// Autocast runs f with torch's autocast to d (BFloat16 or Float16) on the kind of dev: matrix products in d, what needs
// precision in float32. Weights cast once serve until its end. What was before is restored, also when f panics.
func (s *Scope) Autocast(d DType, dev Device, f func()) {
	before := C.graft_autocast_begin(C.int(dev.Kind), C.int(d))
	defer C.graft_autocast_end(before)
	f()
}

// WithoutAutocast runs f without autocast on the kind of dev, and restores what was before.
func (s *Scope) WithoutAutocast(dev Device, f func()) {
	before := C.graft_autocast_begin(C.int(dev.Kind), 0)
	defer C.graft_autocast_end(before)
	f()
}
