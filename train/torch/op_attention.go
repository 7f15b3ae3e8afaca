//go:build !lite

package torch

import (
	"fmt"
	"math"
	"strconv"

	"github.com/sugarme/gotch/libtch"

	"graft/graph"
)

// attentionRows are attention and what it needs.
var attentionRows = []opRow{
	{"", "Attention", 23, attend},
	{"", "RotaryEmbedding", 23, one(rotary)},
	{fusedDomain, "AttentionMask", 1, attentionMask},
}

// hidden is added to the scores of keys that a bool mask hides: enough for a weight of exactly 0 and finite in every
// precision, so that a row that sees nothing has no NaN, which would spread through the values of the next layer.
const hidden = -30000

// attentionMask is what is added to the scores. Of a bool mask that hides nothing, nothing is left, and of one that says no
// more than a causal order, that order, for which libtorch needs no mask. Input 1, which may be left out, is 1 at real
// tokens, [batch, tokens].
func attentionMask(c *call) []value {
	mask := c.tensor(0)
	switch {
	case mask == nil || mask.DType() != Bool:
		return device(c.alias(mask))
	case mask.Device().Kind == CPU && c.allTrue(mask):
		return []value{{}}
	case c.hidesLater(mask):
		return []value{{causal: true}}
	}
	shut := c.Not(mask)
	zero := c.Zeros(Float32, mask.Device(), mask.Shape()...)
	defer c.Release(shut, zero)
	return device(c.MaskedFill(zero, shut, hidden))
}

// hidesLater reports whether each real token sees itself and all before it, and nothing else. That is so where padding is
// behind the texts, and within a window that is longer than they are. What padding itself sees does not matter then: by the
// same mask no real token sees it.
func (c *call) hidesLater(mask *Tensor) bool {
	n := mask.Dim(-1)
	if mask.Dim(-2) != n {
		return false
	}
	later := c.then(c.Ones(Bool, mask.Device(), n, n), func(y *Tensor) *Tensor { return c.Triu(y, 1) })
	wrong := c.Eq(mask, later)
	if real := c.tensor(1); real != nil && real.Rank() == 2 && real.Dim(1) == n {
		queries := c.Reshape(real, real.Dim(0), 1, n, 1)
		there := c.then(queries, func(q *Tensor) *Tensor { return c.NeScalar(q, 0) })
		wrong = c.then(wrong, func(w *Tensor) *Tensor { return c.And(w, there) })
		c.Release(there)
	}
	c.Release(later)
	right := c.then(wrong, c.Not)
	defer c.Release(right)
	return c.allTrue(right)
}

func (c *call) allTrue(mask *Tensor) bool {
	all := c.unary("all", libtch.AtgAll, mask)
	defer c.Release(all)
	if all == nil {
		return false
	}
	x, err := all.Item()
	if err != nil {
		c.Fail(err)
	}
	return x != 0
}

// heads are one attention node's inputs: [batch, heads, tokens, size].
type heads struct {
	q, k, v *Tensor
	mask    *Tensor // additive; nil: none
	past    int64   // keys before those of the node
	causal  bool
	scale   float64
	softcap float64
	dropout float64
}

// attend is softmax(q·kᵀ·scale + mask)·v for each head; outputs 1 and 2 are the keys and values with those before
// them, and output 3 is the scores at the stage that qk_matmul_output_mode names.
func attend(c *call) []value {
	h, err := c.heads()
	if err != nil {
		c.Fail(err)
		return nil
	}
	defer c.Release(h.q, h.k, h.v, h.mask)
	present := []*Tensor{c.alias(h.k), c.alias(h.v)}
	c.group(&h)
	var y, scores *Tensor
	if c.wants(3) || h.softcap != 0 {
		y, scores = c.spelledOut(h)
	} else {
		y = c.fusedAttention(h)
	}
	if c.tensor(0).Rank() == 3 {
		y = c.then(y, func(y *Tensor) *Tensor { return c.Transpose(y, 1, 2) })
		y = c.then(y, func(y *Tensor) *Tensor { return c.Flatten(y, 2, 3) })
	}
	return device(y, present[0], present[1], scores)
}

// wants reports whether output i is read.
func (c *call) wants(i int) bool { return i < len(c.step.out) && c.step.out[i] >= 0 }

// heads reads the inputs and attributes.
func (c *call) heads() (h heads, err error) {
	n := c.node()
	h.q = c.splitHeads(c.tensor(0), n.Int("q_num_heads", 0))
	h.k = c.splitHeads(c.tensor(1), n.Int("kv_num_heads", 0))
	h.v = c.splitHeads(c.tensor(2), n.Int("kv_num_heads", 0))
	if c.Err() != nil || h.q == nil || h.k == nil || h.v == nil {
		return h, fmt.Errorf("query, key or value is missing or no list of heads")
	}
	if c.has(4) && c.has(5) {
		h.past = c.tensor(4).Dim(2)
		h.k = c.then(h.k, func(k *Tensor) *Tensor { return c.Cat([]*Tensor{c.tensor(4), k}, 2) })
		h.v = c.then(h.v, func(v *Tensor) *Tensor { return c.Cat([]*Tensor{c.tensor(5), v}, 2) })
	}
	h.causal = n.Int("is_causal", 0) != 0 || c.value(3).causal
	h.softcap = c.float("softcap", 0)
	h.scale = c.float("scale", 0)
	if h.scale == 0 {
		h.scale = 1 / math.Sqrt(float64(h.q.Dim(3)))
	}
	if c.run.options.Training {
		if text := n.Meta(graph.AttentionDropout); text != "" {
			if h.dropout, err = strconv.ParseFloat(text, 64); err != nil {
				return h, fmt.Errorf("%s: %w", graph.AttentionDropout, err)
			}
		}
	}
	h.mask = c.fullMask(&h)
	return h, c.Err()
}

// splitHeads is x [batch, heads, tokens, size], of [batch, tokens, heads·size] where it has rank 3.
func (c *call) splitHeads(x *Tensor, n int64) *Tensor {
	if x == nil || x.Rank() == 4 {
		return c.alias(x)
	}
	shape := x.Shape()
	if len(shape) != 3 || n < 1 || shape[2]%n != 0 {
		c.failf("shape %v does not split into %d heads", shape, n)
		return nil
	}
	y := c.Reshape(x, shape[0], shape[1], n, shape[2]/n)
	return c.then(y, func(y *Tensor) *Tensor { return c.Transpose(y, 1, 2) })
}

// fullMask is input 3, which may be shorter than the keys, with what the numbers of real keys in input 6 hide.
func (c *call) fullMask(h *heads) *Tensor {
	var mask *Tensor
	keys := h.k.Dim(2)
	if c.has(3) {
		mask = c.alias(c.tensor(3))
		if missing := keys - mask.Dim(-1); missing > 0 && mask.Dim(-1) > 1 {
			mask = c.then(mask, func(m *Tensor) *Tensor {
				return c.raw("pad", func(out *libtch.Ctensor) { libtch.AtgPad(out, m.h, []int64{0, missing}, 2, "constant", hidden, 0) }, m)
			})
		}
		mask = c.then(mask, func(m *Tensor) *Tensor { return c.To(m, h.q.DType()) })
	}
	if c.has(6) {
		place := c.Arange(0, float64(keys), 1, Int64, h.q.Device())
		count := c.Reshape(c.tensor(6), -1, 1, 1, 1)
		mask = c.addHidden(mask, c.Ge(place, count), h.q)
		c.Release(place, count)
	}
	return mask
}

// addHidden adds to mask, which may be nil, what hides the keys where shut holds. It frees both.
func (c *call) addHidden(mask, shut, like *Tensor) *Tensor {
	if shut == nil {
		return mask
	}
	zero := c.Zeros(like.DType(), like.Device(), shut.Shape()...)
	more := c.MaskedFill(zero, shut, hidden)
	c.Release(zero, shut)
	if mask == nil {
		return more
	}
	defer c.Release(mask, more)
	return c.Add(mask, more)
}

// causalMask hides the keys behind each query's own place, which is behind the keys of the past.
func (c *call) causalMask(h heads) *Tensor {
	ones := c.Ones(Bool, h.q.Device(), h.q.Dim(2), h.k.Dim(2))
	return c.then(ones, func(y *Tensor) *Tensor { return c.Triu(y, h.past+1) })
}

// group repeats keys and values so that each query head has its own.
func (c *call) group(h *heads) {
	times := h.q.Dim(1) / max(h.k.Dim(1), 1)
	if times <= 1 {
		return
	}
	repeat := func(x *Tensor) *Tensor {
		s := x.Shape()
		y := c.then(c.Unsqueeze(x, 2), func(y *Tensor) *Tensor { return c.Expand(y, s[0], s[1], times, s[2], s[3]) })
		return c.then(y, func(y *Tensor) *Tensor { return c.Flatten(y, 1, 2) })
	}
	h.k, h.v = c.then(h.k, repeat), c.then(h.v, repeat)
}

// fusedAttention is the call that libtorch has for all of it. It knows a causal order only without another mask.
func (c *call) fusedAttention(h heads) *Tensor {
	mask, causal := c.alias(h.mask), h.causal
	if causal && (mask != nil || h.past != 0) {
		mask, causal = c.addHidden(mask, c.causalMask(h), h.q), false
	}
	defer c.Release(mask)
	if c.run.options.Training { // without dropout too: bfloat16 trains faster so
		rng := new(RNG)
		if h.dropout > 0 {
			rng = c.run.rng()
		}
		return c.AttentionDropout(h.q, h.k, h.v, mask, causal, h.scale, h.dropout, rng)
	}
	return c.ScaledDotProductAttention(h.q, h.k, h.v, mask, causal, h.scale)
}

// The stages of the scores that output 3 may show.
const (
	afterProduct = iota
	afterMask
	afterSoftcap
	afterSoftmax
)

// spelledOut is attention by its formula. A soft cap comes before the mask, which it would undo.
func (c *call) spelledOut(h heads) (y, shown *Tensor) {
	kt := c.Transpose(h.k, -2, -1)
	scores := c.then(c.MatMul(h.q, kt), func(x *Tensor) *Tensor { return c.MulScalar(x, h.scale) })
	c.Release(kt)
	stage := c.node().Int("qk_matmul_output_mode", 0)
	show := func(at int64) {
		if stage == at && c.wants(3) {
			shown = c.alias(scores)
		}
	}
	show(afterProduct)
	if h.softcap != 0 {
		scores = c.then(scores, func(x *Tensor) *Tensor { return c.MulScalar(x, 1/h.softcap) })
		scores = c.then(scores, c.Tanh)
		scores = c.then(scores, func(x *Tensor) *Tensor { return c.MulScalar(x, h.softcap) })
	}
	show(afterSoftcap)
	mask := c.alias(h.mask)
	if h.causal {
		mask = c.addHidden(mask, c.causalMask(h), h.q)
	}
	if mask != nil {
		scores = c.then(scores, func(x *Tensor) *Tensor { return c.Add(x, mask) })
		c.Release(mask)
	}
	show(afterMask)
	scores = c.then(scores, func(x *Tensor) *Tensor { return c.Softmax(x, -1) })
	show(afterSoftmax)
	if h.dropout > 0 {
		scores = c.then(scores, func(x *Tensor) *Tensor { return c.Dropout(x, h.dropout, c.run.rng()) })
	}
	y = c.MatMul(scores, h.v)
	c.Release(scores)
	return y, shown
}

// rotary turns pairs of features of x, [batch, tokens, heads·size] or [batch, heads, tokens, size], by the angles whose
// cosines and sines are inputs 1 and 2: [batch, tokens, pairs], or [places, pairs] with the places in input 3.
func rotary(c *call) *Tensor {
	x := c.tensor(0)
	if x == nil {
		return nil
	}
	shape := x.Shape()
	between := int64(1) // where cosines get an axis for the heads
	y := c.alias(x)
	if len(shape) == 3 {
		n := c.node().Int("num_heads", 0)
		if n < 1 || shape[2]%n != 0 {
			c.failf("shape %v does not split into %d heads", shape, n)
			return nil
		}
		y, between = c.then(y, func(y *Tensor) *Tensor { return c.Reshape(y, shape[0], shape[1], n, shape[2]/n) }), 2
	}
	cos, sin := c.angles(1, between, x.DType()), c.angles(2, between, x.DType())
	defer c.Release(cos, sin)
	turned := c.node().Int("rotary_embedding_dim", 0)
	size := y.Dim(3)
	if turned == 0 {
		turned = size
	}
	part := c.Slice(y, 3, 0, turned, 1)
	out := c.turn(part, cos, sin, c.node().Int("interleaved", 0) != 0)
	c.Release(part)
	if turned < size {
		rest := c.Slice(y, 3, turned, size, 1)
		out = c.then(out, func(o *Tensor) *Tensor { return c.Cat([]*Tensor{o, rest}, 3) })
		c.Release(rest)
	}
	c.Release(y)
	return c.then(out, func(o *Tensor) *Tensor { return c.Reshape(o, shape...) })
}

// angles are cosines or sines for every token, with an axis for the heads, in the type of what they turn.
func (c *call) angles(i int, between int64, d DType) *Tensor {
	t := c.tensor(i)
	if c.has(3) {
		t = c.Embedding(t, c.tensor(3))
	} else {
		t = c.alias(t)
	}
	t = c.then(t, func(t *Tensor) *Tensor { return c.Unsqueeze(t, between) })
	return c.then(t, func(t *Tensor) *Tensor { return c.To(t, d) })
}

// turn rotates the pairs (i, i+n/2) of the last axis, or the neighbours (2i, 2i+1) where interleaved.
func (c *call) turn(x, cos, sin *Tensor, interleaved bool) *Tensor {
	n := x.Dim(3)
	var a, b *Tensor
	if interleaved {
		a, b = c.Slice(x, 3, 0, n, 2), c.Slice(x, 3, 1, n, 2)
	} else {
		a, b = c.Slice(x, 3, 0, n/2, 1), c.Slice(x, 3, n/2, n, 1)
	}
	ac, bs, bc, as := c.Mul(a, cos), c.Mul(b, sin), c.Mul(b, cos), c.Mul(a, sin)
	left, right := c.Sub(ac, bs), c.Add(bc, as)
	defer c.Release(a, b, ac, bs, bc, as, left, right)
	if !interleaved {
		return c.Cat([]*Tensor{left, right}, 3)
	}
	return c.then(c.Stack([]*Tensor{left, right}, 4), func(y *Tensor) *Tensor { return c.Flatten(y, 3, 4) })
}
