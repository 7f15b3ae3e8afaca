package pass

import (
	"slices"

	"graft/graph"
)

// raisePacked takes queries, keys and values that one product makes side by side apart before they are split into heads:
//
//	transpose(reshape(x, [batch, seq, 3, heads, size]))[:, :, i]
//
// is the transpose of reshape(x[:, :, i·heads·size : (i+1)·heads·size], [batch, seq, heads, size]).
func raisePacked(r *raiser, n *graph.Node) []*graph.Value {
	y, axis, index, ok := oneOf(n)
	if !ok {
		return nil
	}
	perm := []int64{0, 1, 2, 3, 4}
	if t := writer(y); t.Is("Transpose") && len(t.Ints("perm")) == 5 {
		perm, y = t.Ints("perm"), source(t.Input(0))
	}
	view := writer(y)
	if !view.Is("Reshape") || len(y.Shape()) != 5 || axis > 4 || perm[axis] != 2 {
		return nil
	}
	x, parts, heads, size := view.Input(0), axisSize(y, 2), axisSize(y, 3), axisSize(y, 4)
	if len(x.Shape()) != 3 || min(parts, heads, size) < 1 || axisSize(x, 2) != parts*heads*size || index >= parts {
		return nil
	}
	part := r.b.Reshape(r.b.Slice(x, -1, index*heads*size, (index+1)*heads*size), 0, 0, heads, size)
	var rest []int64
	for _, p := range perm {
		if p != 2 {
			rest = append(rest, p-min(1, p/3))
		}
	}
	if slices.IsSorted(rest) {
		return []*graph.Value{part}
	}
	return []*graph.Value{r.b.Transpose(part, rest...)}
}

// oneOf matches n, which takes one index of an axis of y: by Gather, or by Squeeze behind Split or Slice.
func oneOf(n *graph.Node) (y *graph.Value, axis, index int64, ok bool) {
	switch {
	case n.Is("Gather") && n.Input(1).Const() != nil && len(n.Input(1).Shape()) == 0:
		f, isNumber := number(n.Input(1))
		return n.Input(0), n.Int("axis", 0), int64(f), isNumber && f >= 0 && n.Int("axis", 0) >= 0
	case !n.Is("Squeeze"):
		return nil, 0, 0, false
	}
	axes, isConst := integers(n.Input(1))
	piece := writer(n.Input(0))
	if !isConst || len(axes) != 1 || axes[0] < 0 || axisSize(n.Input(0), int(axes[0])) != 1 {
		return nil, 0, 0, false
	}
	axis = axes[0]
	switch {
	case piece.Is("Split") && piece.Int("axis", 0) == axis && axisSize(piece.Input(0), int(axis)) == int64(len(piece.Outputs)):
		return piece.Input(0), axis, int64(slices.Index(piece.Outputs, source(n.Input(0)))), true
	case piece.Is("Slice"):
		start, ok := integers(piece.Input(1))
		of, isConst := integers(piece.Input(3))
		if !ok || !isConst || len(of) != 1 || of[0] != axis || start[0] < 0 {
			return nil, 0, 0, false
		}
		return piece.Input(0), axis, start[0], true
	}
	return nil, 0, 0, false
}
