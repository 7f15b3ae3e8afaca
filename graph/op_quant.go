package graph

import (
	"fmt"
	"slices"
)

// quantOps convert to and from integers and compute on them.
var quantOps = []Op{
	{Name: "ConvInteger", Since: 10, In: between(2, 4), Out: one, Infer: inferConvInteger},
	{Name: "DequantizeLinear", Since: 10, In: between(2, 3), Out: one, Infer: inferDequantize},
	{Name: "DynamicQuantizeLinear", Since: 11, In: one, Out: exactly(3), Infer: inferDynamicQuantize},
	{Name: "MatMulInteger", Since: 10, In: between(2, 4), Out: one, Infer: inferMatMulInteger},
	{Name: "QLinearConv", Since: 10, In: between(8, 9), Out: one, Infer: inferQLinearConv},
	{Name: "QLinearMatMul", Since: 10, In: exactly(8), Out: one, Infer: inferQLinearMatMul},
	{Name: "QuantizeLinear", Since: 10, In: between(2, 3), Out: one, Infer: inferQuantize},
}

// quantized are the operators, by name, of text encoders that were quantized.
var quantized = []string{"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearMatMul",
	"MatMulNBits", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QAttention", "GatherBlockQuantized"}

// Quantized reports whether n is an operator that only files have whose weights or activations were quantized.
func (n *Node) Quantized() bool { return slices.Contains(quantized, n.Op) }

// inferQuantize gives the result the element type of the zero point or of output_dtype, else uint8.
func inferQuantize(f *Inference) error {
	elem := Uint8
	if to := f.Node.Int("output_dtype", 0); to != 0 {
		elem = DType(to)
	}
	if f.Has(2) {
		elem = f.Elem(2)
	}
	f.Set(0, elem, f.Shape(0))
	return f.checkScale()
}

func inferDequantize(f *Inference) error {
	elem := f.Elem(1)
	if to := f.Node.Int("output_dtype", 0); to != 0 {
		elem = DType(to)
	}
	f.Set(0, elem, f.Shape(0))
	return f.checkScale()
}

// checkScale checks that a scale vector (one scale for each slice of axis) fits input 0, and the zero point the scale.
func (f *Inference) checkScale() error {
	s, scale := f.Shape(0), f.Shape(1)
	if zero := f.Shape(2); len(zero) > 0 && zero[0] != Size(1) {
		if _, err := unifyShapes(scale, zero); err != nil {
			return fmt.Errorf("scale and zero point: %w", err)
		}
	}
	if s == nil || len(scale) != 1 || scale[0] == Size(1) || f.Node.Int("block_size", 0) != 0 {
		return nil
	}
	axis, err := f.axis("axis", 1, len(s))
	if err != nil {
		return err
	}
	if _, ok := unify(s[axis], scale[0]); !ok {
		return fmt.Errorf("%v scales for axis %d of %v", scale[0], axis, s)
	}
	return nil
}

func inferDynamicQuantize(f *Inference) error {
	f.Set(0, Uint8, f.Shape(0))
	f.Set(1, Float, Dims())
	f.Set(2, Uint8, Dims())
	return nil
}

func inferMatMulInteger(f *Inference) error {
	s, err := matMulShape(f.Shape(0), f.Shape(1))
	f.Set(0, Int32, s)
	return err
}

func inferQLinearMatMul(f *Inference) error {
	s, err := matMulShape(f.Shape(0), f.Shape(3))
	f.Set(0, f.Elem(7), s)
	return err
}

func inferConvInteger(f *Inference) error {
	if err := inferConv(f); err != nil {
		return err
	}
	if len(f.out) > 0 {
		f.out[0].Elem = Int32
	}
	return nil
}

func inferQLinearConv(f *Inference) error {
	s, w := f.Shape(0), f.Shape(3)
	if len(s) < 3 || len(w) != len(s) {
		f.Set(0, f.Elem(7), nil)
		return nil
	}
	kernel, _ := w[2:].Sizes()
	out, err := f.windowed(Shape{s[0], w[0]}, s[2:], kernel, w[0])
	f.Set(0, f.Elem(7), out)
	return err
}
