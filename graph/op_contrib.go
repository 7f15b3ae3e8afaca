package graph

import (
	"fmt"
	"slices"
)

// contribOps are operators of ONNX Runtime's domain com.microsoft (docs/ContribOperators.md of
// onnxruntime 1.30), which its transformer optimizer and quantizers write.
var contribOps = []Op{
	{Name: "Attention", Domain: Microsoft, Since: 1, In: between(2, 7), Out: between(1, 2), Infer: inferFusedAttention},
	{Name: "BiasGelu", Domain: Microsoft, Since: 1, In: exactly(2), Out: one, Infer: broadcast},
	{Name: "DequantizeLinear", Domain: Microsoft, Since: 1, In: between(2, 3), Out: one, Infer: inferDequantize},
	{Name: "DynamicQuantizeMatMul", Domain: Microsoft, Since: 1, In: between(3, 5), Out: one, Infer: inferMatMul},
	{Name: "EmbedLayerNormalization", Domain: Microsoft, Since: 1, In: between(7, 9), Out: between(1, 3), Infer: inferEmbedLayerNorm},
	{Name: "FastGelu", Domain: Microsoft, Since: 1, In: between(1, 2), Out: one, Infer: sameAs0},
	{Name: "FusedMatMul", Domain: Microsoft, Since: 1, In: exactly(2), Out: one, Infer: inferFusedMatMul},
	{Name: "GatherBlockQuantized", Domain: Microsoft, Since: 1, In: between(3, 4), Out: one, Infer: inferGatherBlockQuantized},
	{Name: "Gelu", Domain: Microsoft, Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "GroupQueryAttention", Domain: Microsoft, Since: 1, In: between(7, 14), Out: between(1, 4), Infer: inferGroupQueryAttention},
	{Name: "MatMulIntegerToFloat", Domain: Microsoft, Since: 1, In: between(4, 7), Out: one, Infer: inferMatMulIntegerToFloat},
	{Name: "MatMulNBits", Domain: Microsoft, Since: 1, In: between(3, 6), Out: one, Infer: inferMatMulNBits},
	{Name: "MultiHeadAttention", Domain: Microsoft, Since: 1, In: between(1, 10), Out: between(1, 4), Infer: inferMultiHeadAttention},
	{Name: "QAttention", Domain: Microsoft, Since: 1, In: between(5, 9), Out: between(1, 2), Infer: inferQAttention},
	{Name: "QLinearAdd", Domain: Microsoft, Since: 1, In: between(7, 8), Out: one, Infer: inferQLinearBinary},
	{Name: "QLinearMul", Domain: Microsoft, Since: 1, In: between(7, 8), Out: one, Infer: inferQLinearBinary},
	{Name: "QuantizeLinear", Domain: Microsoft, Since: 1, In: between(2, 3), Out: one, Infer: inferQuantize},
	{Name: "QuickGelu", Domain: Microsoft, Since: 1, In: one, Out: one, Infer: sameAs0},
	{Name: "RotaryEmbedding", Domain: Microsoft, Since: 1, In: exactly(4), Out: one, Infer: sameAs0},
	{Name: "SkipLayerNormalization", Domain: Microsoft, Since: 1, In: between(3, 5), Out: between(1, 4), Infer: inferSkipNorm},
	{Name: "SkipSimplifiedLayerNormalization", Domain: Microsoft, Since: 1, In: between(3, 4), Out: between(1, 4), Infer: inferSkipNorm},
}

// inferSkipNorm gives the result and the sum (output 3) the type of the input, mean and inverse
// deviation one value for each row.
func inferSkipNorm(f *Inference) error {
	s := f.Shape(0)
	if _, err := broadcastShapes(s, f.Shape(1)); err != nil {
		return fmt.Errorf("input and skip: %w", err)
	}
	if err := f.normGain(2, s); err != nil {
		return err
	}
	f.SetShape(0, s)
	f.SetShape(3, s)
	stats := slices.Clone(s)
	if len(stats) > 0 {
		stats[len(stats)-1] = Size(1)
	}
	f.Set(1, Float, stats)
	f.Set(2, Float, stats)
	return nil
}

// normGain checks that input i, a vector, has the size of the last axis of s.
func (f *Inference) normGain(i int, s Shape) error {
	gain := f.Shape(i)
	if len(gain) != 1 || len(s) == 0 {
		return nil
	}
	if _, ok := unify(gain[0], s[len(s)-1]); !ok {
		return fmt.Errorf("gain %v does not fit %v", gain, s)
	}
	return nil
}

// inferEmbedLayerNorm: ids [batch, sequence] become [batch, sequence, hidden].
func inferEmbedLayerNorm(f *Inference) error {
	ids, table := f.Shape(0), f.Shape(2)
	var out, index Shape
	if len(ids) == 2 && len(table) == 2 {
		out, index = Shape{ids[0], ids[1], table[1]}, Shape{ids[0]}
	}
	f.Set(0, f.Elem(2), out)
	f.Set(1, Int32, index)
	f.Set(2, f.Elem(2), out)
	return nil
}

// inferFusedAttention: input [batch, sequence, width] and packed weights [width, q+k+v];
// present has the shape [2, batch, heads, past+sequence, size].
func inferFusedAttention(f *Inference) error { return f.packedAttention(f.Elem(0), 4) }

// inferQAttention is inferFusedAttention for quantized input and weights; input 3 is the input's scale.
func inferQAttention(f *Inference) error { return f.packedAttention(f.Elem(3), 8) }

func (f *Inference) packedAttention(elem DType, pastInput int) error {
	s, w := f.Shape(0), f.Shape(1)
	if len(s) != 3 || len(w) != 2 {
		f.Set(0, elem, nil)
		f.Set(1, elem, nil)
		return nil
	}
	if _, ok := unify(s[2], w[0]); !ok {
		return fmt.Errorf("input %v and weights %v differ in width", s, w)
	}
	width := dimExpr(w[1]).over(constant(3))
	if sizes := f.Node.Ints("qkv_hidden_sizes"); len(sizes) == 3 {
		width = constant(sizes[2])
	}
	f.Set(0, elem, Shape{s[0], s[1], width.dim()})
	n := constant(f.Node.Int("num_heads", 0))
	total := dimExpr(s[1])
	if past := f.Shape(pastInput); len(past) == 5 {
		total = dimExpr(past[3]).plus(total)
	}
	f.Set(1, elem, Shape{Size(2), s[0], n.dim(), total.dim(), width.over(n).dim()})
	return nil
}

// inferMultiHeadAttention: query [batch, sequence, width] with key and value
// [batch, keys, width] or [batch, heads, keys, size], or query and key packed with what follows
// them ([batch, sequence, heads, 3, size], [batch, keys, heads, 2, size]).
func inferMultiHeadAttention(f *Inference) error {
	q, k, v := f.Shape(0), f.Shape(1), f.Shape(2)
	n := constant(f.Node.Int("num_heads", 0))
	if q == nil || (f.Has(1) && k == nil) || (f.Has(2) && v == nil) {
		f.SetShape(0, nil)
		return nil
	}
	var width, keys expr
	switch {
	case len(q) == 5:
		width, keys = dimExpr(q[2]).times(dimExpr(q[4])), dimExpr(q[1])
	case len(k) == 5:
		width, keys = dimExpr(q[2]), dimExpr(k[1])
	case len(v) == 3:
		width, keys = dimExpr(v[2]), dimExpr(v[1])
	case len(v) == 4:
		width, keys = dimExpr(v[1]).times(dimExpr(v[3])), dimExpr(v[2])
	default:
		return fmt.Errorf("query %v, key %v and value %v are in no known layout", q, k, v)
	}
	f.SetShape(0, Shape{q[0], q[1], width.dim()})
	if past := f.Shape(6); len(past) == 4 {
		keys = dimExpr(past[2]).plus(keys)
	}
	present := Shape{q[0], n.dim(), keys.dim(), width.over(n).dim()}
	f.SetShape(1, present)
	f.SetShape(2, present)
	f.SetShape(3, Shape{q[0], n.dim(), q[1], keys.dim()})
	return nil
}

// inferGroupQueryAttention: query [batch, sequence, heads·size], or packed with key and value;
// the caches have the shape [batch, kv_heads, keys, size].
func inferGroupQueryAttention(f *Inference) error {
	q := f.Shape(0)
	if len(q) != 3 {
		f.SetShape(0, nil)
		return nil
	}
	n, kv := constant(f.Node.Int("num_heads", 0)), constant(f.Node.Int("kv_num_heads", 0))
	size := dimExpr(q[2]).over(n)
	if !f.Has(1) {
		size = dimExpr(q[2]).over(n.plus(kv).plus(kv))
	}
	f.SetShape(0, Shape{q[0], q[1], size.times(n).dim()})
	total := AnyDim
	if past := f.Shape(3); len(past) == 4 {
		total = dimExpr(past[2]).plus(dimExpr(q[1])).dim()
	}
	if list := f.elements(6); len(list) == 1 {
		total = list[0].dim()
	}
	present := Shape{q[0], kv.dim(), total, size.dim()}
	f.SetShape(1, present)
	f.SetShape(2, present)
	f.SetShape(3, Shape{q[0], n.dim(), q[1], total})
	return nil
}

// inferFusedMatMul is MatMul with operands transposed: trans swaps the last two axes, transBatch
// moves the first axis to the place before the last.
func inferFusedMatMul(f *Inference) error {
	var s [2]Shape
	for i, side := range []string{"A", "B"} {
		s[i] = slices.Clone(f.Shape(i))
		n := len(s[i])
		if n < 2 {
			continue
		}
		if f.Node.Int("transBatch"+side, 0) != 0 {
			s[i] = joinShapes(s[i][1:n-1], s[i][:1], s[i][n-1:])
		}
		if f.Node.Int("trans"+side, 0) != 0 {
			s[i][n-2], s[i][n-1] = s[i][n-1], s[i][n-2]
		}
	}
	out, err := matMulShape(s[0], s[1])
	f.SetShape(0, out)
	return err
}

// inferMatMulIntegerToFloat has the element type of the scales.
func inferMatMulIntegerToFloat(f *Inference) error {
	s, err := matMulShape(f.Shape(0), f.Shape(1))
	f.Set(0, f.Elem(2), s)
	return err
}

// inferMatMulNBits multiplies [..., K] by packed weights of N rows.
func inferMatMulNBits(f *Inference) error {
	s := slices.Clone(f.Shape(0))
	if len(s) > 0 {
		if _, ok := unify(s[len(s)-1], Size(f.Node.Int("K", -1))); !ok {
			return fmt.Errorf("input %v, want a last axis of K = %d", s, f.Node.Int("K", -1))
		}
		s[len(s)-1] = Size(f.Node.Int("N", -1))
	}
	f.SetShape(0, s)
	return nil
}

// inferGatherBlockQuantized is Gather that dequantizes; uint8 data holds 8/bits codes a byte along the last axis.
func inferGatherBlockQuantized(f *Inference) error {
	s, indices := f.Shape(0), f.Shape(1)
	if len(s) == 0 || indices == nil {
		f.Set(0, f.Elem(2), nil)
		return nil
	}
	s = slices.Clone(s)
	if bits := f.Node.Int("bits", 4); f.Elem(0) == Uint8 && bits > 0 && bits < 8 {
		last := len(s) - 1
		s[last] = dimExpr(s[last]).times(constant(8 / bits)).dim()
	}
	axis, err := f.axis("gather_axis", 0, len(s))
	if err != nil {
		return err
	}
	f.Set(0, f.Elem(2), joinShapes(s[:axis], indices, s[axis+1:]))
	return nil
}

// inferQLinearBinary broadcasts A (input 0) and B (input 3).
func inferQLinearBinary(f *Inference) error {
	s, err := broadcastShapes(f.Shape(0), f.Shape(3))
	f.SetShape(0, s)
	return err
}
