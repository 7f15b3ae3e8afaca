package pass_test

import (
	"math"
	"testing"

	"graft/graph"
)

// headRows is x, [batch, heads, seq, n], as [batch·heads, seq, n], as torch's bmm wants it.
func headRows(b *graph.Builder, x *graph.Value) *graph.Value {
	count := b.Op("Mul", []*graph.Value{b.Size(x, 0), b.Int64s(heads)})
	shape := b.Op("Concat", []*graph.Value{count, b.Size(x, 2), b.Size(x, 3)}, graph.IntAttr("axis", 0))
	return b.Op("Reshape", []*graph.Value{x, shape})
}

// headsApart is v, [batch·heads, seq, n], as [batch, heads, seq, n].
func headsApart(b *graph.Builder, v, x *graph.Value) *graph.Value {
	shape := b.Op("Concat", []*graph.Value{b.Size(x, 0), b.Int64s(heads), b.Size(v, 1), b.Size(v, 2)}, graph.IntAttr("axis", 0))
	return b.Op("Reshape", []*graph.Value{v, shape})
}

// TestRaiseHeadRows raises attention that counts heads along with the texts: BLOOM's, whose bias is as long as the keys, and
// DeBERTa's, whose bias is computed of queries.
func TestRaiseHeadRows(t *testing.T) {
	scale := float32(1 / math.Sqrt(headSize))
	for name, biased := range map[string]func(b *graph.Builder, s, q *graph.Value) *graph.Value{
		"BLOOM": func(b *graph.Builder, s, q *graph.Value) *graph.Value {
			row := b.Op("ReduceMax", []*graph.Value{q}, graph.IntsAttr("axes", 2), graph.IntAttr("keepdims", 1))
			return b.Add(b.Mul(s, b.Scalar(scale)), b.Transpose(row, 0, 2, 1))
		},
		"DeBERTa": func(b *graph.Builder, s, q *graph.Value) *graph.Value {
			return b.Add(b.Div(s, b.Scalar(1/scale)), b.MatMul(q, b.Transpose(b.Mul(q, b.Scalar(0.5)), 0, 2, 1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			expectRaised(t, modelOf(t, 17, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
				q, k, v := linears(b, x)
				rows := [3]*graph.Value{}
				for i, y := range []*graph.Value{q, k, v} {
					rows[i] = headRows(b, splitHeads(b, y))
				}
				s := biased(b, b.MatMul(rows[0], b.Transpose(rows[1], 0, 2, 1)), rows[0])
				s = b.Add(headsApart(b, s, x), b.Mul(b.Sub(b.Scalar(1), unsqueezed(b, mask)), b.Scalar(-10000)))
				y := b.MatMul(headRows(b, softmax(b, s)), rows[2])
				return mergeHeads(b, headsApart(b, y, x))
			}), map[string]int{"Attention": 1})
		})
	}
}
