//go:build !lite

package torch

import "github.com/sugarme/gotch/libtch"

// reduce runs a reduction over dims, over all of them where none is given.
func (s *Scope) reduce(name string, f func(out *libtch.Ctensor, x libtch.Ctensor, dims []int64, n int, keep int32), x *Tensor, keep bool, dims []int64) *Tensor {
	return s.dims(name, func(out *libtch.Ctensor, x libtch.Ctensor, dims []int64, n int) {
		f(out, x, dims, n, flag(keep))
	}, x, dims)
}

// sameDType leaves the result's type to torch.
const sameDType = -1

// Sum is torch.sum over dims, over all where none is given; keep leaves them with size 1.
func (s *Scope) Sum(x *Tensor, keep bool, dims ...int64) *Tensor {
	return s.reduce("sum", func(out *libtch.Ctensor, x libtch.Ctensor, dims []int64, n int, keep int32) {
		libtch.AtgSumDimIntlist(out, x, dims, n, keep, sameDType)
	}, x, keep, dims)
}

// Mean is torch.mean over dims, over all where none is given; keep leaves them with size 1.
func (s *Scope) Mean(x *Tensor, keep bool, dims ...int64) *Tensor {
	return s.reduce("mean", func(out *libtch.Ctensor, x libtch.Ctensor, dims []int64, n int, keep int32) {
		libtch.AtgMeanDim(out, x, dims, n, keep, sameDType)
	}, x, keep, dims)
}

// Max is torch.amax: gradients go to equal maxima in equal parts.
func (s *Scope) Max(x *Tensor, keep bool, dims ...int64) *Tensor {
	return s.reduce("amax", libtch.AtgAmax, x, keep, dims)
}

// Min is torch.amin.
func (s *Scope) Min(x *Tensor, keep bool, dims ...int64) *Tensor {
	return s.reduce("amin", libtch.AtgAmin, x, keep, dims)
}

// LogSumExp is torch.logsumexp over one dimension.
func (s *Scope) LogSumExp(x *Tensor, dim int64, keep bool) *Tensor {
	return s.reduce("logsumexp", libtch.AtgLogsumexp, x, keep, []int64{dim})
}

// Prod is torch.prod over one dimension.
func (s *Scope) Prod(x *Tensor, dim int64, keep bool) *Tensor {
	return s.op("prod", func(out *libtch.Ctensor) { libtch.AtgProdDimInt(out, x.h, dim, flag(keep), sameDType) }, x)
}

// ArgMax is torch.argmax over one dimension.
func (s *Scope) ArgMax(x *Tensor, dim int64, keep bool) *Tensor {
	return s.op("argmax", func(out *libtch.Ctensor) { libtch.AtgArgmax(out, x.h, dim, 0, flag(keep)) }, x)
}

// CumSum is torch.cumsum.
func (s *Scope) CumSum(x *Tensor, dim int64) *Tensor {
	return s.op("cumsum", func(out *libtch.Ctensor) { libtch.AtgCumsum(out, x.h, dim, sameDType) }, x)
}

// Softmax is torch.softmax.
func (s *Scope) Softmax(x *Tensor, dim int64) *Tensor {
	return s.op("softmax", func(out *libtch.Ctensor) { libtch.AtgSoftmax(out, x.h, dim, sameDType) }, x)
}

// LogSoftmax is torch.log_softmax.
func (s *Scope) LogSoftmax(x *Tensor, dim int64) *Tensor {
	return s.op("log_softmax", func(out *libtch.Ctensor) { libtch.AtgLogSoftmax(out, x.h, dim, sameDType) }, x)
}

// TopK is torch.topk: the k largest elements along dim in descending order, and their indices.
func (s *Scope) TopK(x *Tensor, k, dim int64) (values, indices *Tensor) {
	if !s.ready("topk", []*Tensor{x}) {
		return nil, nil
	}
	var out [2]libtch.Ctensor
	libtch.AtgTopk(&out[0], x.h, k, dim, 1, 1)
	if values = s.result("topk", out[0]); values == nil {
		return nil, nil
	}
	return values, s.Own(newTensor(out[1], nil))
}
