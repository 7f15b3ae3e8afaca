package pass

import (
	"fmt"

	"graft/graph"
)

// lowerRotary turns pairs (x1, x2) of features by their angles: x1·cos − x2·sin and
// x2·cos + x1·sin. Halves of the features make the pairs, or neighbours where interleaved.
// The products are of half the width, which is less to read and write than the usual
// x·cos + rotate_half(x)·sin of the whole width.
func lowerRotary(l *lowerer, n *graph.Node) (*graph.Value, error) {
	b, x := l.b, n.Input(0)
	heads := n.Int("num_heads", 0)
	merged := len(x.Shape()) == 3 || x.Shape() == nil && heads > 0
	headAxis := int64(1)
	if merged {
		if heads <= 0 {
			return nil, fmt.Errorf("no num_heads for an input %v", x)
		}
		headAxis = 2
		x = l.splitHeads(x, heads)
	}
	cos, sin := l.angles(n, n.Input(1), headAxis), l.angles(n, n.Input(2), headAxis)

	var rest *graph.Value // features that do not turn
	if turned := n.Int("rotary_embedding_dim", 0); turned > 0 {
		whole := x
		x, rest = b.Slice(whole, -1, 0, turned), b.Slice(whole, -1, turned, 1<<31-1)
	}
	turn := l.turnHalves
	if n.Int("interleaved", 0) != 0 {
		turn = l.turnNeighbours
	}
	y := turn(x, cos, sin)
	if rest != nil {
		y = b.Op("Concat", []*graph.Value{y, rest}, graph.IntAttr("axis", -1))
	}
	if merged {
		l.split[n.Outputs[0]] = y
		y = b.Reshape(y, 0, 0, axisSizeOr(n.Input(0), 2, -1))
	}
	return y, nil
}

func axisSizeOr(v *graph.Value, axis int, def int64) int64 {
	if n := axisSize(v, axis); n >= 0 {
		return n
	}
	return def
}

// angles is a table of cosines or sines as [batch, seq, dim/2], looked up by position where the
// node has positions, with an axis of size 1 for the heads.
func (l *lowerer) angles(n *graph.Node, table *graph.Value, headAxis int64) *graph.Value {
	positions := n.Input(3)
	return l.once(sharedKey{what: "angles", of: table, more: [2]any{positions, headAxis}}, func() *graph.Value {
		if positions != nil {
			table = l.b.Op("Gather", []*graph.Value{table, positions}, graph.IntAttr("axis", 0))
		}
		return l.b.Unsqueeze(table, headAxis)
	})
}

func (l *lowerer) turnHalves(x, cos, sin *graph.Value) *graph.Value {
	halves := l.b.OpN("", "Split", 2, []*graph.Value{x}, graph.IntAttr("axis", -1), graph.IntAttr("num_outputs", 2))
	y1, y2 := l.turn(halves[0], halves[1], cos, sin)
	return l.b.Op("Concat", []*graph.Value{y1, y2}, graph.IntAttr("axis", -1))
}

func (l *lowerer) turnNeighbours(x, cos, sin *graph.Value) *graph.Value {
	b := l.b
	every := func(first int64) *graph.Value {
		return b.Op("Slice", []*graph.Value{x, b.Int64s(first), b.Int64s(1<<31 - 1), b.Int64s(-1), b.Int64s(2)})
	}
	y1, y2 := l.turn(every(0), every(1), cos, sin)
	pairs := b.Op("Concat", []*graph.Value{b.Unsqueeze(y1, -1), b.Unsqueeze(y2, -1)}, graph.IntAttr("axis", -1))
	return b.Reshape(pairs, 0, 0, 0, -1)
}

func (l *lowerer) turn(x1, x2, cos, sin *graph.Value) (y1, y2 *graph.Value) {
	b := l.b
	return b.Sub(b.Mul(x1, cos), b.Mul(x2, sin)), b.Add(b.Mul(x2, cos), b.Mul(x1, sin))
}
