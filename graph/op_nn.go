package graph

import (
	"fmt"
	"slices"
)

// nnOps are normalizations, softmaxes, convolutions and pools.
var nnOps = []Op{
	{Name: "AveragePool", Since: 1, In: one, Out: one, Infer: inferPool},
	{Name: "BatchNormalization", Since: 1, In: exactly(5), Out: between(1, 5), Infer: inferBatchNorm},
	{Name: "BatchNormalization", Since: 14, In: exactly(5), Out: between(1, 3), Infer: inferBatchNorm},
	{Name: "Conv", Since: 1, In: between(2, 3), Out: one, Infer: inferConv},
	{Name: "Dropout", Since: 1, In: one, Out: between(1, 2), Infer: inferDropout},
	{Name: "Dropout", Since: 12, In: between(1, 3), Out: between(1, 2), Infer: inferDropout},
	{Name: "GlobalAveragePool", Since: 1, In: one, Out: one, Infer: inferGlobalPool},
	{Name: "GlobalMaxPool", Since: 1, In: one, Out: one, Infer: inferGlobalPool},
	{Name: "GroupNormalization", Since: 18, In: exactly(3), Out: one, Infer: sameAs0},
	{Name: "Hardmax", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "InstanceNormalization", Since: 1, In: exactly(3), Out: one, Infer: sameAs0},
	// ONNX Runtime's optimizer writes this operator in models of older operator sets too.
	{Name: "LayerNormalization", Since: 1, In: between(2, 3), Out: between(1, 3), Infer: inferLayerNorm},
	{Name: "LogSoftmax", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "LpNormalization", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "LRN", Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "MaxPool", Since: 1, In: one, Out: one, Infer: inferPool},
	{Name: "MaxPool", Since: 8, In: one, Out: between(1, 2), Infer: inferPool},
	{Name: "MeanVarianceNormalization", Since: 9, In: one, Out: one, Infer: sameAs0},
	{Name: "RMSNormalization", Since: 23, In: exactly(2), Out: one, Infer: inferRMSNorm},
	// ONNX Runtime keeps its own form of RMSNormalization in the default domain.
	{Name: "SimplifiedLayerNormalization", Since: 1, In: exactly(2), Out: between(1, 2), Infer: inferLayerNorm},
	{Name: "Softmax", Since: 1, In: one, Out: one, Infer: inferSoftmax},
}

func inferSoftmax(f *Inference) error {
	if s := f.Shape(0); len(s) > 0 {
		if _, err := f.axis("axis", -1, len(s)); err != nil {
			return err
		}
	}
	return sameAs0(f)
}

// inferLayerNorm gives the result the type of the input, and mean and inverse deviation the
// shape with the normalized axes folded to 1. Scale and bias must fit the normalized axes.
func inferLayerNorm(f *Inference) error {
	s := f.Shape(0)
	if err := f.normShape(s); err != nil {
		return err
	}
	f.SetShape(0, s)
	var stats Shape
	if s != nil {
		axis, err := f.axis("axis", -1, len(s))
		if err != nil {
			return err
		}
		stats = slices.Clone(s)
		for i := axis; i < len(s); i++ {
			stats[i] = Size(1)
		}
	}
	for i := 1; i < len(f.out); i++ {
		f.Set(i, DType(f.Node.Int("stash_type", int64(Float))), stats)
	}
	return nil
}

func inferRMSNorm(f *Inference) error {
	if err := f.normShape(f.Shape(0)); err != nil {
		return err
	}
	return sameAs0(f)
}

// normShape checks that scale and bias (inputs 1 and 2) broadcast to s without making it larger.
func (f *Inference) normShape(s Shape) error {
	if s == nil {
		return nil
	}
	for i := 1; i <= 2; i++ {
		p := f.Shape(i)
		if p == nil {
			continue
		}
		out, err := broadcastShapes(s, p)
		if err == nil && len(out) != len(s) {
			err = fmt.Errorf("rank %d of a tensor of rank %d", len(p), len(s))
		}
		for j := range s {
			if err == nil && s[j] == Size(1) && out[j].Known() && out[j].Size > 1 {
				err = fmt.Errorf("sizes %v and %v differ on axis %d", s[j], out[j], j)
			}
		}
		if err != nil {
			return fmt.Errorf("scale or bias %v of input %v: %w", p, s, err)
		}
	}
	return nil
}

func inferBatchNorm(f *Inference) error {
	f.SetShape(0, f.Shape(0))
	for i := 1; i < len(f.out); i++ {
		from := 3 + (i-1)%2 // running mean and variance, as input 3 and 4
		f.Set(i, f.Elem(from), f.Shape(from))
	}
	return nil
}

func inferDropout(f *Inference) error {
	f.SetShape(0, f.Shape(0))
	mask := Bool
	if f.Opset < 10 {
		mask = f.Elem(0)
	}
	f.Set(1, mask, f.Shape(0))
	return nil
}

func inferGlobalPool(f *Inference) error {
	s := slices.Clone(f.Shape(0))
	for i := 2; i < len(s); i++ {
		s[i] = Size(1)
	}
	f.SetShape(0, s)
	return nil
}

func inferConv(f *Inference) error {
	s, w := f.Shape(0), f.Shape(1)
	if s == nil || w == nil {
		f.SetShape(0, nil)
		return nil
	}
	if len(s) != len(w) || len(s) < 3 {
		return fmt.Errorf("input %v and kernel %v", s, w)
	}
	group := constant(f.Node.Int("group", 1))
	if a, b := dimExpr(s[1]), dimExpr(w[1]).times(group); a.minus(b).known() && !a.equal(b) {
		return fmt.Errorf("%v channels of input %v, the kernel %v wants %v", s[1], s, w, b)
	}
	kernel, _ := w[2:].Sizes()
	out, err := f.windowed(slices.Clone(s[:2]), s[2:], kernel, w[0])
	f.SetShape(0, out)
	return err
}

// known reports whether e is an integer.
func (e expr) known() bool {
	_, ok := e.value()
	return ok
}

func inferPool(f *Inference) error {
	s := f.Shape(0)
	if len(s) < 3 {
		f.SetShape(0, nil)
		return nil
	}
	out, err := f.windowed(slices.Clone(s[:2]), s[2:], nil, s[1])
	f.SetShape(0, out)
	f.Set(1, Int64, out)
	return err
}

// windowed appends to out, [batch, any], the spatial axes that a window leaves of s, and sets its channels.
func (f *Inference) windowed(out, s Shape, kernel []int64, channels Dim) (Shape, error) {
	out[1] = channels
	if k := f.Node.Ints("kernel_shape"); k != nil {
		kernel = k
	}
	n := len(s)
	attr := func(name string, count int, def int64) []int64 {
		if list := f.Node.Ints(name); len(list) == count {
			return list
		}
		return slices.Repeat([]int64{def}, count)
	}
	strides, dilations, pads := attr("strides", n, 1), attr("dilations", n, 1), attr("pads", 2*n, 0)
	if kernel != nil && len(kernel) != n {
		return nil, fmt.Errorf("kernel_shape %v for %d spatial axes", kernel, n)
	}
	for i, d := range s {
		if strides[i] < 1 || dilations[i] < 1 {
			return nil, fmt.Errorf("stride %d and dilation %d must be positive", strides[i], dilations[i])
		}
		size := AnyDim
		if kernel != nil {
			w := window{kernel[i], strides[i], dilations[i], pads[i], pads[i+n], f.Node.Int("ceil_mode", 0) != 0}
			size = w.slide(d, f.Node.Str("auto_pad", "NOTSET"))
		}
		out = append(out, size)
	}
	return out, nil
}

// window is a kernel that slides along one axis.
type window struct {
	kernel, stride, dilation, begin, end int64
	ceil                                 bool
}

// slide is the number of places that w has on an axis of size d (Operators.md, Conv and AveragePool).
func (w window) slide(d Dim, autoPad string) Dim {
	if !d.Known() {
		e := dimExpr(d)
		if autoPad == "NOTSET" && w.stride == 1 {
			return e.plus(constant(w.begin + w.end - w.dilation*(w.kernel-1))).dim()
		}
		return AnyDim
	}
	extent := w.dilation*(w.kernel-1) + 1
	switch autoPad {
	case "SAME_UPPER", "SAME_LOWER":
		return Size((d.Size + w.stride - 1) / w.stride)
	case "VALID":
		return Size(max(0, (d.Size-extent+w.stride)/w.stride))
	}
	room := d.Size + w.begin + w.end - extent
	if room < 0 {
		return Size(0)
	}
	n := room/w.stride + 1
	if w.ceil && room%w.stride != 0 && n*w.stride < d.Size+w.begin {
		n++ // the last window must start inside the input or its front padding
	}
	return Size(n)
}
