package pass

import (
	"slices"

	"graft/graph"
)

// rotated matches apply_rotary_pos_emb of transformers,
//
//	x·cos + rotate_half(x)·sin, with rotate_half(x) = concat(−x[d/2:], x[:d/2]),
//
// x being [batch, heads, seq, size] and cos, sin of the full width, both halves alike.
var rotated = add(mul(any1(xSlot), any1(cosSlot)), mul(rotateHalf, any1(sinSlot)))

// rotateHalf matches concat(−x[d/2:], x[:d/2]) over the last axis, of slices or of a split.
func rotateHalf(v *graph.Value, b *bindings) bool {
	n := writer(v)
	if !n.Is("Concat") || len(n.Inputs) != 2 || !lastAxis(n.Int("axis", 0), v) {
		return false
	}
	neg := writer(n.Input(0))
	if !neg.Is("Neg") {
		return false
	}
	size := axisSize(v, len(v.Shape())-1)
	high, x2, ok2 := halfOf(neg.Input(0), size)
	low, x1, ok1 := halfOf(n.Input(1), size)
	return ok1 && ok2 && high == 1 && low == 0 && x1 == x2 && any1(xSlot)(x1, b)
}

func lastAxis(axis int64, v *graph.Value) bool {
	return axis == -1 || axis >= 0 && axis == int64(len(v.Shape()))-1
}

// halfOf says which half of which value, of size features, v is.
func halfOf(v *graph.Value, size int64) (half int, x *graph.Value, ok bool) {
	n := writer(v)
	if n == nil || size <= 0 || size%2 != 0 {
		return 0, nil, false
	}
	x = source(n.Input(0))
	switch {
	case n.Is("Slice"):
		start, ok1 := number(n.Input(1))
		axes, ok2 := integers(n.Input(3))
		if !ok1 || !ok2 || len(axes) != 1 || !lastAxis(axes[0], x) || axisSize(v, len(v.Shape())-1) != size/2 {
			return 0, nil, false
		}
		if start < 0 {
			start += float64(size)
		}
		return int(start) / int(size/2), x, start == 0 || int64(start) == size/2
	case n.Is("Split") && len(n.Outputs) == 2 && lastAxis(n.Int("axis", 0), x):
		return slices.Index(n.Outputs, source(v)), x, axisSize(v, len(v.Shape())-1) == size/2
	}
	return 0, nil, false
}

// raiseRotary makes RotaryEmbedding of a match: of the merged heads where x is a transpose of
// them, otherwise of the heads.
func raiseRotary(r *raiser, n *graph.Node) []*graph.Value {
	b := new(bindings)
	if !n.Is("Add") || !rotated(n.Outputs[0], b) {
		return nil
	}
	x := b.value[xSlot]
	cos, sin := r.halfAngles(x, b.value[cosSlot]), r.halfAngles(x, b.value[sinSlot])
	h, ok := headsOf(x)
	if cos == nil || sin == nil || !ok {
		return nil
	}
	r.report.Raised["RotaryEmbedding"]++
	if h.split == nil {
		return []*graph.Value{r.b.Op("RotaryEmbedding", []*graph.Value{x, cos, sin})}
	}
	y := r.b.Op("RotaryEmbedding", []*graph.Value{r.merged(h), cos, sin}, graph.IntAttr("num_heads", h.heads))
	return []*graph.Value{r.b.Transpose(r.b.Reshape(y, 0, 0, h.heads, h.size), 0, 2, 1, 3)}
}

// halfAngles is a table [batch or 1, 1, seq, size] whose halves are alike as [batch, seq, size/2];
// nil where the halves cannot be seen to be alike.
func (r *raiser) halfAngles(x, table *graph.Value) *graph.Value {
	shape := table.Shape()
	if len(shape) < 3 || len(shape) == 4 && shape[1].Size != 1 || !halvesAlike(table, 0) {
		return nil
	}
	return r.once(sharedKey{what: "half of angles", of: table}, func() *graph.Value {
		half := table
		if len(shape) == 4 {
			half = r.b.Squeeze(table, 1)
		}
		half = r.b.Slice(half, -1, 0, shape[len(shape)-1].Size/2)
		if shape[0] == x.Shape()[0] {
			return half
		}
		one, size := r.b.Int64s(1), r.size(x.Shape()[0])
		if size == nil {
			size = r.b.Size(x, 0)
		}
		batch := r.b.Op("Concat", []*graph.Value{size, one, one}, graph.IntAttr("axis", 0))
		return r.b.Op("Expand", []*graph.Value{half, batch})
	})
}

// elementwise are the operators of one varying input that exporters put between the angles
// and the rotation.
var elementwise = []string{"Cos", "Sin", "Cast", "Unsqueeze", "Squeeze", "Gather", "Slice", "Expand"}

// halvesAlike reports whether the two halves of v's last axis are equal: v comes from
// Concat(f, f) by operators that treat both alike, or is a constant with equal halves.
func halvesAlike(v *graph.Value, depth int) bool {
	v = source(v)
	if v == nil || depth > mostScoreNodes {
		return false
	}
	if t := v.Const(); t != nil {
		return constantHalvesAlike(t)
	}
	n := v.Def()
	switch {
	case n == nil:
		return false
	case n.Is("Concat"):
		return len(n.Inputs) == 2 && lastAxis(n.Int("axis", 0), v) && source(n.Input(0)) == source(n.Input(1))
	case n.Is("Mul"):
		for i := range 2 {
			if _, ok := number(n.Input(i)); ok {
				return halvesAlike(n.Input(1-i), depth+1)
			}
		}
		return false
	}
	keeps := len(v.Shape()) > 0 && axisSize(v, len(v.Shape())-1) == axisSize(n.Input(0), len(n.Input(0).Shape())-1)
	return keeps && slices.Contains(elementwise, n.Op) && halvesAlike(n.Input(0), depth+1)
}

func constantHalvesAlike(t *graph.Tensor) bool {
	if len(t.Shape) == 0 || t.Len() > maxConstant || t.Shape[len(t.Shape)-1]%2 != 0 || t.Len() == 0 {
		return false
	}
	data, err := t.Float32s()
	if err != nil {
		return false
	}
	size := int(t.Shape[len(t.Shape)-1])
	for row := range slices.Chunk(data, size) {
		if !slices.Equal(row[:size/2], row[size/2:]) {
			return false
		}
	}
	return true
}
