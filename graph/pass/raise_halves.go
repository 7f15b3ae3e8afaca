package pass

import "graft/graph"

// turnedHalves matches the form in which Lower writes RotaryEmbedding (and rotary_embedding of
// flash-attn): concat(x1·cos − x2·sin, x2·cos + x1·sin) over the last axis, x1 and x2 being the
// halves of x and cos, sin of half the width.
var turnedHalves = is("Concat",
	sub(mul(firstHalf, any1(cosSlot)), mul(secondHalf, any1(sinSlot))),
	add(mul(secondHalf, any1(cosSlot)), mul(firstHalf, any1(sinSlot))))

func firstHalf(v *graph.Value, b *bindings) bool  { return isHalf(v, b, 0) }
func secondHalf(v *graph.Value, b *bindings) bool { return isHalf(v, b, 1) }

// isHalf matches a half of the last axis of the operand.
func isHalf(v *graph.Value, b *bindings, which int) bool {
	n := writer(v)
	if n == nil || len(n.Inputs) == 0 || n.Input(0) == nil {
		return false
	}
	shape := n.Input(0).Shape()
	if len(shape) == 0 {
		return false
	}
	half, x, ok := halfOf(v, shape[len(shape)-1].Size)
	return ok && half == which && any1(xSlot)(x, b)
}

// raiseHalves makes RotaryEmbedding of a match whose x is [batch, seq, heads, size], with
// tables [batch, seq, 1, size/2], or [batch, heads, seq, size], with tables [batch, 1, seq, size/2].
func raiseHalves(r *raiser, n *graph.Node) []*graph.Value {
	b := new(bindings)
	if !n.Is("Concat") || !lastAxis(n.Int("axis", 0), n.Outputs[0]) || !turnedHalves(n.Outputs[0], b) {
		return nil
	}
	x := b.value[xSlot]
	shape := x.Shape()
	cos, axis := angleTable(b.value[cosSlot], x)
	sin, axis2 := angleTable(b.value[sinSlot], x)
	if cos == nil || sin == nil || axis != axis2 {
		return nil
	}
	r.report.Raised["RotaryEmbedding"]++
	if axis == 1 {
		return []*graph.Value{r.b.Op("RotaryEmbedding", []*graph.Value{x, cos, sin})}
	}
	heads, size := shape[2].Size, shape[3].Size
	h := headed{split: x, heads: heads, size: size}
	y := r.b.Op("RotaryEmbedding", []*graph.Value{r.merged(h), cos, sin}, graph.IntAttr("num_heads", heads))
	return []*graph.Value{r.b.Reshape(y, 0, 0, heads, size)}
}

// angleTable is table without its axis for the heads of x, and which axis that is.
func angleTable(table, x *graph.Value) (angles *graph.Value, axis int) {
	n, shape := writer(table), x.Shape()
	if len(shape) != 4 || len(table.Shape()) != 4 || !n.Is("Unsqueeze") || len(n.Input(0).Shape()) != 3 {
		return nil, 0
	}
	axes, ok := integers(n.Input(1))
	if !ok || len(axes) != 1 || axes[0] < 1 || axes[0] > 2 || !shape[axes[0]].Known() || !shape[3].Known() {
		return nil, 0
	}
	if table.Shape()[0] != shape[0] {
		return nil, 0
	}
	return source(n.Input(0)), int(axes[0])
}
