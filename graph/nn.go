package graph

import (
	"fmt"
	"maps"
	"slices"
)

// This file holds the layers that architectures are written in. Each method appends standard
// ONNX nodes; weights keep the checkpoint's names and layouts.

func (b *Builder) Add(x, y *Value) *Value    { return b.Op("Add", []*Value{x, y}) }
func (b *Builder) Sub(x, y *Value) *Value    { return b.Op("Sub", []*Value{x, y}) }
func (b *Builder) Mul(x, y *Value) *Value    { return b.Op("Mul", []*Value{x, y}) }
func (b *Builder) Div(x, y *Value) *Value    { return b.Op("Div", []*Value{x, y}) }
func (b *Builder) MatMul(x, y *Value) *Value { return b.Op("MatMul", []*Value{x, y}) }

// Sum adds the values from left to right.
func (b *Builder) Sum(values ...*Value) *Value {
	x := values[0]
	for _, y := range values[1:] {
		x = b.Add(x, y)
	}
	return x
}

// Cast converts x to d.
func (b *Builder) Cast(x *Value, d DType) *Value {
	return b.Op("Cast", []*Value{x}, IntAttr("to", int64(d)))
}

// Reshape gives x the shape of dims, where 0 copies x's size and -1 is what remains.
func (b *Builder) Reshape(x *Value, dims ...int64) *Value {
	return b.Op("Reshape", []*Value{x, b.Int64s(dims...)})
}

// Transpose permutes x's axes.
func (b *Builder) Transpose(x *Value, perm ...int64) *Value {
	return b.Op("Transpose", []*Value{x}, IntsAttr("perm", perm...))
}

// Unsqueeze inserts axes of size 1.
func (b *Builder) Unsqueeze(x *Value, axes ...int64) *Value {
	return b.Op("Unsqueeze", []*Value{x, b.Int64s(axes...)})
}

// Squeeze removes axes of size 1.
func (b *Builder) Squeeze(x *Value, axes ...int64) *Value {
	return b.Op("Squeeze", []*Value{x, b.Int64s(axes...)})
}

// Slice takes x[start:end] along axis.
func (b *Builder) Slice(x *Value, axis, start, end int64) *Value {
	return b.Op("Slice", []*Value{x, b.Int64s(start), b.Int64s(end), b.Int64s(axis)})
}

// Size is the size of x's axis as an int64 vector of one element.
func (b *Builder) Size(x *Value, axis int64) *Value {
	return b.Op("Shape", []*Value{x}, IntAttr("start", axis), IntAttr("end", axis+1))
}

// Where picks x where cond holds, else y.
func (b *Builder) Where(cond, x, y *Value) *Value { return b.Op("Where", []*Value{cond, x, y}) }

// ReduceSum sums x over axes; kept axes have size 1.
func (b *Builder) ReduceSum(x *Value, keep bool, axes ...int64) *Value {
	k := int64(0)
	if keep {
		k = 1
	}
	return b.Op("ReduceSum", []*Value{x, b.Int64s(axes...)}, IntAttr("keepdims", k))
}

// Embedding looks ids up in the table of rows x cols called name.
// ids: int64 of any shape; result: the shape of ids with cols appended.
func (b *Builder) Embedding(name string, ids *Value, rows, cols int) *Value {
	return b.Op("Gather", []*Value{b.Weight(name, rows, cols), ids}, IntAttr("axis", 0))
}

// Linear is x·Wᵀ + b with name.weight [out, in] and name.bias [out], as torch.nn.Linear stores them.
// x: [..., in]; result: [..., out].
func (b *Builder) Linear(name string, x *Value, in, out int) *Value {
	l := b.Scope("%s", name)
	return l.Add(b.LinearNoBias(name, x, in, out), l.Weight("bias", out))
}

// LinearNoBias is Linear without the bias.
func (b *Builder) LinearNoBias(name string, x *Value, in, out int) *Value {
	l := b.Scope("%s", name)
	return l.MatMul(x, l.Transpose(l.Weight("weight", out, in), 1, 0))
}

// LayerNorm normalizes over the last axis of size n with name.weight and name.bias (Ba et al. 2016).
func (b *Builder) LayerNorm(name string, x *Value, n int, eps float64) *Value {
	l := b.Scope("%s", name)
	return l.layerNorm([]*Value{x, l.Weight("weight", n), l.Weight("bias", n)}, eps)
}

// LayerNormNoBias is LayerNorm with name.weight alone.
func (b *Builder) LayerNormNoBias(name string, x *Value, n int, eps float64) *Value {
	l := b.Scope("%s", name)
	return l.layerNorm([]*Value{x, l.Weight("weight", n)}, eps)
}

func (b *Builder) layerNorm(in []*Value, eps float64) *Value {
	return b.Op("LayerNormalization", in, IntAttr("axis", -1), FloatAttr("epsilon", float32(eps)))
}

// RMSNorm is x / rms(x) · name.weight over the last axis of size n (Zhang and Sennrich 2019).
func (b *Builder) RMSNorm(name string, x *Value, n int, eps float64) *Value {
	l := b.Scope("%s", name)
	return l.RMSNormGain(x, l.Weight("weight", n), eps)
}

// RMSNormGain is RMSNorm with a gain that is computed or shared.
func (b *Builder) RMSNormGain(x, gain *Value, eps float64) *Value {
	return b.Op("RMSNormalization", []*Value{x, gain}, IntAttr("axis", -1), FloatAttr("epsilon", float32(eps)))
}

// activations are the names that HF configs use (transformers.activations.ACT2FN).
var activations = map[string]func(b *Builder, x *Value) *Value{
	"gelu":              func(b *Builder, x *Value) *Value { return b.Op("Gelu", []*Value{x}) },
	"gelu_python":       func(b *Builder, x *Value) *Value { return b.Op("Gelu", []*Value{x}) },
	"gelu_new":          geluTanh,
	"gelu_fast":         geluTanh,
	"gelu_pytorch_tanh": geluTanh,
	"silu":              silu,
	"swish":             silu,
	"relu":              func(b *Builder, x *Value) *Value { return b.Op("Relu", []*Value{x}) },
	"tanh":              func(b *Builder, x *Value) *Value { return b.Op("Tanh", []*Value{x}) },
	"sigmoid":           func(b *Builder, x *Value) *Value { return b.Op("Sigmoid", []*Value{x}) },
	"quick_gelu": func(b *Builder, x *Value) *Value {
		return b.Mul(x, b.Op("Sigmoid", []*Value{b.Mul(x, b.Scalar(1.702))}))
	},
}

func geluTanh(b *Builder, x *Value) *Value {
	return b.Op("Gelu", []*Value{x}, StrAttr("approximate", "tanh"))
}

func silu(b *Builder, x *Value) *Value { return b.Mul(x, b.Op("Sigmoid", []*Value{x})) }

// Activation applies the function that an HF config calls name.
func (b *Builder) Activation(name string, x *Value) *Value {
	f, ok := activations[name]
	if !ok {
		b.Errorf("activation %q is not known; known: %q", name, slices.Sorted(maps.Keys(activations)))
		return x
	}
	return f(b, x)
}

// Dropout zeroes elements with probability p in training; it is removed from what runs elsewhere.
func (b *Builder) Dropout(x *Value, p float64) *Value {
	if p == 0 {
		return x
	}
	return b.Op("Dropout", []*Value{x, b.Scalar(float32(p))})
}

// AttentionDropout is the metadata key under which an Attention node carries the dropout
// probability of its weights, which the ONNX operator has no attribute for.
const AttentionDropout = "graft.attention_dropout"

// AttentionOptions sets up Attention.
type AttentionOptions struct {
	Heads   int
	KVHeads int     // heads of key and value, 0: as Heads
	Scale   float64 // of the scores, 0: 1/sqrt(head size)
	Mask    *Value  // bool (true: attend) or a float bias, broadcast to [batch, heads, query, key]; nil: none
	Causal  bool    // query i sees keys 0..i
	Softcap float64 // scores are softcap·tanh(scores/softcap); 0: off
	Dropout float64 // of the weights, in training
}

// Attention is softmax(q·kᵀ·scale + mask)·v per head, the ONNX operator of opset 23 in its 3-D form.
// q: [batch, query, heads·size]; k, v: [batch, key, kvheads·size]; result: [batch, query, heads·size].
func (b *Builder) Attention(q, k, v *Value, o AttentionOptions) *Value {
	if o.KVHeads == 0 {
		o.KVHeads = o.Heads
	}
	attrs := []Attr{IntAttr("q_num_heads", int64(o.Heads)), IntAttr("kv_num_heads", int64(o.KVHeads))}
	if o.Scale != 0 {
		attrs = append(attrs, FloatAttr("scale", float32(o.Scale)))
	}
	if o.Causal {
		attrs = append(attrs, IntAttr("is_causal", 1))
	}
	if o.Softcap != 0 {
		attrs = append(attrs, FloatAttr("softcap", float32(o.Softcap)))
	}
	in := []*Value{q, k, v}
	if o.Mask != nil {
		in = append(in, o.Mask)
	}
	out := b.Op("Attention", in, attrs...)
	if o.Dropout != 0 {
		out.def.SetMeta(AttentionDropout, fmt.Sprint(o.Dropout))
	}
	return out
}

// Rotary rotates pairs of x's features by the angles whose cosines and sines are given
// (Su et al. 2021), the ONNX operator of opset 23 in its 3-D form.
// x: [batch, sequence, heads·size]; cos, sin: [batch, sequence, dim/2], where dim ≤ size is how
// many features of each head turn; halves (i, i+dim/2) make a pair.
func (b *Builder) Rotary(x, cos, sin *Value, heads, dim, size int) *Value {
	attrs := []Attr{IntAttr("num_heads", int64(heads))}
	if dim != size {
		attrs = append(attrs, IntAttr("rotary_embedding_dim", int64(dim)))
	}
	return b.Op("RotaryEmbedding", []*Value{x, cos, sin}, attrs...)
}
