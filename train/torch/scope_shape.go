//go:build !lite

package torch

import "github.com/sugarme/gotch/libtch"

// T is torch.t: the transpose of a matrix, as a view.
func (s *Scope) T(x *Tensor) *Tensor { return s.unary("t", libtch.AtgT, x) }

// Contiguous is torch.Tensor.contiguous.
func (s *Scope) Contiguous(x *Tensor) *Tensor { return s.unary("contiguous", libtch.AtgContiguous, x) }

// Detach is torch.Tensor.detach: the same elements outside of autograd.
func (s *Scope) Detach(x *Tensor) *Tensor { return s.unary("detach", libtch.AtgDetach, x) }

// Alias is another handle of x, in autograd too.
func (s *Scope) Alias(x *Tensor) *Tensor { return s.unary("alias", libtch.AtgAlias, x) }

// Transpose is torch.transpose: dimensions d0 and d1 exchanged, as a view.
func (s *Scope) Transpose(x *Tensor, d0, d1 int64) *Tensor {
	return s.op("transpose", func(out *libtch.Ctensor) { libtch.AtgTranspose(out, x.h, d0, d1) }, x)
}

// Permute is torch.permute.
func (s *Scope) Permute(x *Tensor, dims ...int64) *Tensor {
	return s.dims("permute", libtch.AtgPermute, x, dims)
}

// Reshape is torch.reshape; one size may be -1.
func (s *Scope) Reshape(x *Tensor, sizes ...int64) *Tensor {
	return s.dims("reshape", libtch.AtgReshape, x, sizes)
}

// View is torch.Tensor.view: Reshape that never copies.
func (s *Scope) View(x *Tensor, sizes ...int64) *Tensor {
	return s.dims("view", libtch.AtgView, x, sizes)
}

// Expand is torch.Tensor.expand; a size of -1 keeps the dimension.
func (s *Scope) Expand(x *Tensor, sizes ...int64) *Tensor {
	return s.dims("expand", func(out *libtch.Ctensor, x libtch.Ctensor, dims []int64, n int) {
		libtch.AtgExpand(out, x, dims, n, 0)
	}, x, sizes)
}

// Repeat is torch.Tensor.repeat.
func (s *Scope) Repeat(x *Tensor, repeats ...int64) *Tensor {
	return s.dims("repeat", libtch.AtgRepeat, x, repeats)
}

// Flip is torch.flip.
func (s *Scope) Flip(x *Tensor, dims ...int64) *Tensor {
	return s.dims("flip", libtch.AtgFlip, x, dims)
}

// Pad is torch.constant_pad_nd with zeros: before and after of the last dimension, then of the one before it, and so on.
func (s *Scope) Pad(x *Tensor, pads ...int64) *Tensor {
	return s.dims("constant_pad_nd", libtch.AtgConstantPadNd, x, pads)
}

// Flatten is torch.flatten of the dimensions from start to end, both included.
func (s *Scope) Flatten(x *Tensor, start, end int64) *Tensor {
	return s.op("flatten", func(out *libtch.Ctensor) { libtch.AtgFlatten(out, x.h, start, end) }, x)
}

// Squeeze is torch.squeeze of one dimension.
func (s *Scope) Squeeze(x *Tensor, dim int64) *Tensor {
	return s.op("squeeze", func(out *libtch.Ctensor) { libtch.AtgSqueezeDim(out, x.h, dim) }, x)
}

// Unsqueeze is torch.unsqueeze.
func (s *Scope) Unsqueeze(x *Tensor, dim int64) *Tensor {
	return s.op("unsqueeze", func(out *libtch.Ctensor) { libtch.AtgUnsqueeze(out, x.h, dim) }, x)
}

// Cat is torch.cat.
func (s *Scope) Cat(xs []*Tensor, dim int64) *Tensor { return s.join("cat", libtch.AtgCat, xs, dim) }

// Stack is torch.stack.
func (s *Scope) Stack(xs []*Tensor, dim int64) *Tensor {
	return s.join("stack", libtch.AtgStack, xs, dim)
}

func (s *Scope) join(name string, f func(out *libtch.Ctensor, xs []libtch.Ctensor, n int, dim int64), xs []*Tensor, dim int64) *Tensor {
	return s.op(name, func(out *libtch.Ctensor) {
		hs := handles(xs)
		if len(hs) == 0 {
			hs = make([]libtch.Ctensor, 1)
		}
		f(out, hs, len(xs), dim)
	}, xs...)
}

// Slice is x[start:end:step] along dim, as a view; ends beyond the dimension are cut to it.
func (s *Scope) Slice(x *Tensor, dim, start, end, step int64) *Tensor {
	return s.op("slice", func(out *libtch.Ctensor) { libtch.AtgSlice(out, x.h, dim, start, 0, end, 0, step) }, x)
}

// Select is torch.select: the slice at index along dim, without that dimension.
func (s *Scope) Select(x *Tensor, dim, index int64) *Tensor {
	return s.op("select", func(out *libtch.Ctensor) { libtch.AtgSelect(out, x.h, dim, index) }, x)
}

// IndexSelect is torch.index_select: the slices of x along dim that index (1-D) lists.
func (s *Scope) IndexSelect(x *Tensor, dim int64, index *Tensor) *Tensor {
	return s.op("index_select", func(out *libtch.Ctensor) { libtch.AtgIndexSelect(out, x.h, dim, index.h) }, x, index)
}

// Gather is torch.gather.
func (s *Scope) Gather(x *Tensor, dim int64, index *Tensor) *Tensor {
	return s.op("gather", func(out *libtch.Ctensor) { libtch.AtgGather(out, x.h, dim, index.h, 0) }, x, index)
}

// ScatterAdd is torch.scatter_add.
func (s *Scope) ScatterAdd(x *Tensor, dim int64, index, src *Tensor) *Tensor {
	return s.op("scatter_add", func(out *libtch.Ctensor) { libtch.AtgScatterAdd(out, x.h, dim, index.h, src.h) }, x, index, src)
}

// Scatter is torch.scatter.
func (s *Scope) Scatter(x *Tensor, dim int64, index, src *Tensor) *Tensor {
	return s.op("scatter", func(out *libtch.Ctensor) { libtch.AtgScatter(out, x.h, dim, index.h, src.h) }, x, index, src)
}

// Tril is torch.tril.
func (s *Scope) Tril(x *Tensor, diagonal int64) *Tensor {
	return s.op("tril", func(out *libtch.Ctensor) { libtch.AtgTril(out, x.h, diagonal) }, x)
}

// Triu is torch.triu.
func (s *Scope) Triu(x *Tensor, diagonal int64) *Tensor {
	return s.op("triu", func(out *libtch.Ctensor) { libtch.AtgTriu(out, x.h, diagonal) }, x)
}
