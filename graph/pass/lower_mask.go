package pass

import (
	"fmt"

	"graft/graph"
)

// maskedScore is what is added to the score of a key that a query must not see. It is large
// enough that exp(maskedScore + any score) is 0 and small enough to stay finite, sums with scores
// included, in float32, bfloat16 and float16 (whose largest number is 65504). Finite scores keep
// a row in which everything is masked free of NaN, and engines that compute float32 graphs in
// bfloat16 get no infinities from it: with −3.4e38, the usual choice, they silently do.
const maskedScore = -30000

// attentionBias is what is added to a's scores: the mask, causal order included, as numbers;
// nil where all keys are seen. Layers that mask alike share one bias.
func (l *lowerer) attentionBias(a *attention) (*graph.Value, error) {
	mask := a.mask
	if mask == nil && !a.causal {
		return nil, nil
	}
	if mask != nil && mask.DType() != graph.Bool {
		if !mask.DType().IsFloat() {
			return nil, fmt.Errorf("mask %v is neither bool nor float", mask)
		}
		if !a.causal {
			return mask, nil
		}
		seen := l.causalMask(a)
		return l.once(sharedKey{what: "causal bias", of: mask, more: seen}, func() *graph.Value {
			return l.b.Where(seen, mask, l.scalar(mask, maskedScore))
		}), nil
	}
	if a.causal {
		mask = l.causalMask(a)
		if a.mask != nil {
			mask = l.once(sharedKey{what: "causal mask", of: a.mask, more: mask}, func() *graph.Value {
				return l.b.Op("And", []*graph.Value{mask, a.mask})
			})
		}
	}
	return l.once(sharedKey{what: "bias", of: mask, more: a.q.DType()}, func() *graph.Value {
		return l.b.Where(mask, l.scalar(a.q, 0), l.scalar(a.q, maskedScore))
	}), nil
}

// causalMask is true at [i, j] where query i sees key j: j ≤ i.
func (l *lowerer) causalMask(a *attention) *graph.Value {
	queries, keys := l.length(a.q, a.seqAxis()), l.length(a.k, a.seqAxis())
	return l.once(sharedKey{what: "causal", of: queries, more: keys}, func() *graph.Value {
		rows := l.b.Unsqueeze(l.positions(queries), 1)
		columns := l.b.Unsqueeze(l.positions(keys), 0)
		return l.b.Op("LessOrEqual", []*graph.Value{columns, rows})
	})
}

// positions is 0, 1, ... up to length.
func (l *lowerer) positions(length *graph.Value) *graph.Value {
	return l.once(sharedKey{what: "positions", of: length}, func() *graph.Value {
		return l.b.Op("Range", []*graph.Value{l.b.Int64(0), l.b.Squeeze(length, 0), l.b.Int64(1)})
	})
}

// length is the size of v's axis as a vector of one element, taken from a graph input where one
// has an axis of the same symbol, so that all layers take it from there.
func (l *lowerer) length(v *graph.Value, axis int64) *graph.Value {
	if shape := v.Shape(); int(axis) < len(shape) && shape[axis].Symbol != "" {
		for _, in := range l.model.Graph.Inputs {
			for i, d := range in.Shape() {
				if d.Symbol == shape[axis].Symbol {
					v, axis = in, int64(i)
				}
			}
		}
	}
	return l.once(sharedKey{what: "length", of: v, more: axis}, func() *graph.Value { return l.b.Size(v, axis) })
}
