package pass

import (
	"errors"
	"fmt"
	"math"

	"graft/graph"
)

// attention is what an Attention node says, with the sizes that its types add.
type attention struct {
	node           *graph.Node
	q, k, v, mask  *graph.Value
	merged         bool  // q, k, v are [batch, seq, heads·size], otherwise [batch, heads, seq, size]
	heads, kvHeads int64 // heads of q, and of k and v
	size           int64 // of a head of q and k
	scale          float64
	softcap        float64
	causal         bool
}

// attentionOf reads n. Caches of past keys, and the scores as an output, are not supported:
// an encoder has neither.
func attentionOf(n *graph.Node) (*attention, error) {
	for i := 4; i < len(n.Inputs); i++ {
		if n.Inputs[i] != nil {
			return nil, errors.New("has a cache of past keys and values, which an embedding model does not need")
		}
	}
	a := &attention{
		node: n, q: n.Input(0), k: n.Input(1), v: n.Input(2), mask: n.Input(3),
		heads: n.Int("q_num_heads", 0), kvHeads: n.Int("kv_num_heads", 0),
		softcap: float64(n.Float("softcap", 0)), causal: n.Int("is_causal", 0) != 0,
	}
	shape := a.q.Shape()
	a.merged = len(shape) == 3 || shape == nil && a.heads > 0
	if !a.merged {
		a.heads, a.kvHeads = axisSize(a.q, 1), axisSize(a.k, 1)
		a.size = axisSize(a.q, 3)
	} else if width := axisSize(a.q, 2); width > 0 && a.heads > 0 {
		a.size = width / a.heads
	}
	if a.heads <= 0 || a.kvHeads <= 0 || a.heads%a.kvHeads != 0 {
		return nil, fmt.Errorf("%d heads of queries and %d of keys in %v and %v", a.heads, a.kvHeads, a.q, a.k)
	}
	a.scale = float64(n.Float("scale", 0))
	if a.scale == 0 {
		if a.size <= 0 {
			return nil, fmt.Errorf("neither a scale nor the size of a head is known: query %v", a.q)
		}
		a.scale = 1 / math.Sqrt(float64(a.size))
	}
	return a, nil
}

// axisSize is the known size of v's axis, otherwise -1.
func axisSize(v *graph.Value, axis int) int64 {
	shape := v.Shape()
	if axis >= len(shape) || !shape[axis].Known() {
		return -1
	}
	return shape[axis].Size
}

// seqAxis is the axis of q and k that counts tokens.
func (a *attention) seqAxis() int64 {
	if a.merged {
		return 1
	}
	return 2
}

// lowerAttention: softmax(q·scale · kᵀ + bias) · v. Queries are scaled before the product: it
// takes seq·size multiplications instead of seq², keeps float16 scores small, and
// MatMulScaleFusion makes it part of the product. Where several heads of q share one of k, they
// become rows of one product, so that k and v are never repeated.
func lowerAttention(l *lowerer, n *graph.Node) (*graph.Value, error) {
	if err := l.onlyFirst(n); err != nil {
		return nil, err
	}
	a, err := attentionOf(n)
	if err != nil {
		return nil, err
	}
	if a.constantKeys() {
		return l.lowerConstantKeys(a), nil
	}
	bias, err := l.attentionBias(a)
	if err != nil {
		return nil, err
	}
	b, grouped := l.b, a.heads != a.kvHeads
	q, k, v := l.headsFirst(a, a.q, a.heads), l.keysLast(a, a.k, a.kvHeads), l.headsFirst(a, a.v, a.kvHeads)
	if a.scale != 1 {
		q = b.Mul(q, l.scalar(a.q, a.scale))
	}
	if grouped {
		q = b.Reshape(q, 0, a.kvHeads, -1, a.size)
	}
	scores := b.MatMul(q, k)
	if a.softcap != 0 {
		limit := l.scalar(a.q, a.softcap)
		scores = b.Mul(b.Op("Tanh", []*graph.Value{b.Div(scores, limit)}), limit)
	}
	if bias != nil && grouped {
		scores = b.Reshape(scores, 0, a.heads, -1, 0)
	}
	if bias != nil {
		scores = b.Add(scores, bias)
	}
	weights := b.Op("Softmax", []*graph.Value{scores}, graph.IntAttr("axis", -1))
	if bias != nil && grouped {
		weights = b.Reshape(weights, 0, a.kvHeads, -1, 0)
	}
	y := b.MatMul(weights, v)
	if grouped {
		y = b.Reshape(y, 0, a.heads, -1, 0)
	}
	if a.merged {
		y = b.Reshape(b.Transpose(y, 0, 2, 1, 3), 0, 0, a.width())
	}
	return y, nil
}

// width is the size of the merged heads of the result, -1 where it is not known.
func (a *attention) width() int64 {
	if w := axisSize(a.v, 2); w > 0 {
		return w / a.kvHeads * a.heads
	}
	return -1
}

// headsFirst is x as [batch, heads, seq, size].
func (l *lowerer) headsFirst(a *attention, x *graph.Value, heads int64) *graph.Value {
	if !a.merged {
		return x
	}
	return l.b.Transpose(l.splitHeads(x, heads), 0, 2, 1, 3)
}

// keysLast is x as [batch, heads, size, seq].
func (l *lowerer) keysLast(a *attention, x *graph.Value, heads int64) *graph.Value {
	if !a.merged {
		return l.b.Transpose(x, 0, 1, 3, 2)
	}
	return l.b.Transpose(l.splitHeads(x, heads), 0, 2, 3, 1)
}

// splitHeads is x [batch, seq, heads·size] as [batch, seq, heads, size].
func (l *lowerer) splitHeads(x *graph.Value, heads int64) *graph.Value {
	if v := l.split[x]; v != nil {
		return v
	}
	size := int64(-1)
	if w := axisSize(x, 2); w > 0 {
		size = w / heads
	}
	if n := x.Def(); n.Is("Reshape") && len(n.Input(0).Shape()) == 4 && size > 0 &&
		axisSize(n.Input(0), 2) == heads && axisSize(n.Input(0), 3) == size {
		return n.Input(0)
	}
	return l.b.Reshape(x, 0, 0, heads, size)
}
