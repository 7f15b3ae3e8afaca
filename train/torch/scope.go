//go:build !lite

package torch

import (
	"fmt"

	"github.com/sugarme/gotch/libtch"

	"graft/train/torch/internal/shim"
)

// Scope owns the tensors that its operations make: Close frees them all. It keeps the first error; after it, operations do
// nothing and return nil, so that a computation is written without a check at each line and asks Err at its end.
//
// Operations are named after torch's functions and broadcast and differentiate like them. A scope belongs to one thread.
type Scope struct {
	owned []*Tensor
	err   error
}

// NewScope returns an empty scope.
func NewScope() *Scope { return &Scope{} }

// Close frees every tensor that the scope still owns. The error stays.
func (s *Scope) Close() {
	for _, t := range s.owned {
		if t.scope == s {
			t.Free()
		}
	}
	s.owned = nil
}

// Err is the first error of the scope's operations.
func (s *Scope) Err() error { return s.err }

// Fail records an error, unless there is one already.
func (s *Scope) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Keep takes t out of the scope: the caller frees it.
func (s *Scope) Keep(t *Tensor) *Tensor {
	if t != nil {
		t.scope = nil
	}
	return t
}

// Own puts t, which belonged to nobody or to another scope, into this one.
func (s *Scope) Own(t *Tensor) *Tensor {
	if t != nil && t.h != nil && t.scope != s {
		t.scope = s
		s.owned = append(s.owned, t)
	}
	return t
}

// Release frees tensors of the scope before its end; what autograd needs of them, it keeps. Tensors that the scope does not
// own are left alone.
func (s *Scope) Release(ts ...*Tensor) {
	for _, t := range ts {
		if t != nil && t.scope == s {
			t.Free()
		}
	}
}

// op makes one tensor by a call into libtorch. The tensors in are its arguments that must be there.
func (s *Scope) op(name string, call func(out *libtch.Ctensor), in ...*Tensor) *Tensor {
	if !s.ready(name, in) {
		return nil
	}
	var out libtch.Ctensor
	call(&out)
	return s.result(name, out)
}

// ready says whether an operation may run: no error yet and none of its arguments missing.
func (s *Scope) ready(name string, in []*Tensor) bool {
	if s.err != nil {
		return false
	}
	for i, t := range in {
		if t == nil || t.h == nil {
			s.Fail(fmt.Errorf("libtorch: %s: argument %d is no tensor", name, i+1))
			return false
		}
	}
	return true
}

// result takes the error of the last call or puts its tensor into the scope.
func (s *Scope) result(name string, out libtch.Ctensor) *Tensor {
	if err := lastError(name); err != nil {
		s.Fail(err)
		return nil
	}
	return s.Own(newTensor(out, nil))
}

// made puts a tensor that the shim made into the scope, or records its error.
func (s *Scope) made(name string, h shim.Handle, err error) *Tensor {
	if !s.check(name, err) {
		return nil
	}
	return s.Own(newTensor(libtch.Ctensor(h), nil))
}

// check records an error of the shim; it says whether there was none.
func (s *Scope) check(name string, err error) bool {
	if err != nil {
		s.Fail(stepError(name, err))
	}
	return err == nil
}

func (s *Scope) unary(name string, f func(*libtch.Ctensor, libtch.Ctensor), x *Tensor) *Tensor {
	return s.op(name, func(out *libtch.Ctensor) { f(out, x.h) }, x)
}

func (s *Scope) binary(name string, f func(out *libtch.Ctensor, a, b libtch.Ctensor), a, b *Tensor) *Tensor {
	return s.op(name, func(out *libtch.Ctensor) { f(out, a.h, b.h) }, a, b)
}

// scalar runs an operation of a tensor and a number. With a tensor of integers a whole number counts as an integer, so
// that the result's type stays.
func (s *Scope) scalar(name string, f func(*libtch.Ctensor, libtch.Ctensor, libtch.Cscalar), x *Tensor, v float64) *Tensor {
	return s.op(name, func(out *libtch.Ctensor) {
		c := scalarFor(x.DType(), v)
		defer libtch.AtsFree(c)
		f(out, x.h, c)
	}, x)
}

func scalarFor(d DType, v float64) libtch.Cscalar {
	if !d.Floating() && v == float64(int64(v)) {
		return libtch.AtsInt(int64(v))
	}
	return libtch.AtsFloat(v)
}

// dims runs an operation with a list of dimensions or sizes. libtch reads the first one's address even of an empty list.
func (s *Scope) dims(name string, f func(out *libtch.Ctensor, x libtch.Ctensor, dims []int64, n int), x *Tensor, dims []int64) *Tensor {
	return s.op(name, func(out *libtch.Ctensor) {
		list, n := intList(dims)
		f(out, x.h, list, n)
	}, x)
}

func intList(v []int64) (list []int64, n int) {
	if len(v) == 0 {
		return []int64{0}, 0
	}
	return v, len(v)
}

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
