//go:build !lite

package torch

import (
	"errors"
	"math"
	"slices"

	"graft/graph"
)

// constants collects the values that masks and rotations are made of.
type constants struct {
	set     map[*graph.Value]bool
	learned map[*graph.Value]bool // values that are computed from the rows of tables, as all that is computed from tokens is
}

// lookedUp are the values of g that are computed from rows of a table of floats.
func lookedUp(g *graph.Graph) map[*graph.Value]bool {
	set := map[*graph.Value]bool{}
	g.Walk(func(n *graph.Node) {
		table := n.Input(0)
		is := n.Is("Gather") && table.Const() != nil && table.Const().DType.IsFloat()
		if is || slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool { return set[v] }) {
			for _, v := range n.Outputs {
				set[v] = v != nil
			}
		}
	})
	return set
}

// add collects v and what it is computed from. It stops at sizes, at tables that are looked up, and at products and norms of what was
// learned; a vector that is added to it is learned too.
func (c *constants) add(v *graph.Value) {
	if v == nil || c.set[v] {
		return
	}
	c.set[v] = true
	n := v.Def()
	switch {
	case n == nil, n.Is("Shape"), n.Is("Size"):
		return
	case c.learned[v] && slices.Contains(learning, n.Op):
		return
	case n.Is("Gather"):
		c.add(n.Input(1))
		if n.Input(0).Const() == nil {
			c.add(n.Input(0))
		}
		return
	}
	for _, in := range n.Inputs {
		if !c.learned[v] || in.Const() == nil || len(in.Const().Shape) != 1 {
			c.add(in)
		}
	}
}

// learning are the operators that have weights.
var learning = []string{"MatMul", "Gemm", "Einsum", "LayerNormalization", "RMSNormalization"}

// addTable collects v, and the table too that its rows are looked up in.
func (c *constants) addTable(v *graph.Value) {
	c.add(v)
	for v != nil && v.Def() != nil && len(v.Def().Inputs) > 0 {
		v = v.Def().Input(0)
		c.add(v)
	}
}

// waves finds the tables of sines and cosines among the weights: positions, of which a row each is looked up. They are
// constants of a model, whatever a file calls them. Either a table holds the sine beside the cosine of each angle, in
// halves or in turns, or two tables hold one each.
func waves(g *graph.Graph, among map[*graph.Value]bool) ([]*graph.Value, error) {
	uses := g.Uses()
	var found, bounded []*graph.Value
	rows := map[*graph.Value][][]float32{}
	for _, v := range g.Initializers {
		if !among[v] || len(v.Init.Shape) < 2 || slices.ContainsFunc(uses[v], func(u graph.Use) bool { return u.Node.Is("MatMul") || u.Node.Is("Gemm") }) {
			continue
		}
		first, err := firstRows(v.Init)
		if err != nil {
			return nil, err
		}
		if len(first) < 2 || !within1(first) || slices.Equal(first[0], first[1]) {
			continue
		}
		width := len(first[0])
		if width%2 == 0 && (circles(first, func(r []float32) ([]float32, []float32) { return r[:width/2], r[width/2:] }) || circles(first, everySecond)) {
			found = append(found, v)
			continue
		}
		rows[v] = first
		bounded = append(bounded, v)
	}
	for i, v := range bounded {
		for _, w := range bounded[i+1:] {
			if slices.Equal(v.Init.Shape, w.Init.Shape) && pairs(rows[v], rows[w]) {
				found = append(found, v, w)
			}
		}
	}
	return found, nil
}

// mostRows is how many rows tell a table of waves.
const mostRows = 32

var errEnough = errors.New("enough read")

// firstRows are the first rows of t, of its last axis.
func firstRows(t *graph.Tensor) ([][]float32, error) {
	width := int(t.Shape[len(t.Shape)-1])
	if width == 0 || t.DType.Bits() < 16 {
		return nil, nil
	}
	var rows [][]float32
	err := t.Chunks(width, func(_ int64, c graph.Chunk) error {
		defer c.Free()
		row := make([]float32, c.Len())
		c.Float32s(row, 0)
		if rows = append(rows, row); len(rows) == mostRows {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return rows, err
}

// within1 reports whether sines and cosines may have these values.
func within1(rows [][]float32) bool {
	return !slices.ContainsFunc(rows, func(r []float32) bool {
		return slices.ContainsFunc(r, func(x float32) bool { return !(math.Abs(float64(x)) <= 1.01) })
	})
}

func everySecond(row []float32) (even, odd []float32) {
	for i, x := range row {
		if i%2 == 0 {
			even = append(even, x)
		} else {
			odd = append(odd, x)
		}
	}
	return even, odd
}

// circles reports whether both parts of each row are sines and cosines of the same angles. Rows of padding may be 0.
func circles(rows [][]float32, parts func([]float32) (a, b []float32)) bool {
	n := 0
	for _, r := range rows {
		if !slices.ContainsFunc(r, func(x float32) bool { return x != 0 }) {
			continue
		}
		if n++; !onCircle(parts(r)) {
			return false
		}
	}
	return n > 1
}

// pairs reports whether one of two tables holds the sines, and the other the cosines.
func pairs(a, b [][]float32) bool {
	for i := range a {
		if len(a[i]) != len(b[i]) || !onCircle(a[i], b[i]) {
			return false
		}
	}
	return true
}

// onCircle reports whether x² + y² is 1 for all pairs, but for rounding to bfloat16.
func onCircle(x, y []float32) bool {
	for i := range x {
		if r := x[i]*x[i] + y[i]*y[i]; !(math.Abs(float64(r-1)) < 0.02) {
			return false
		}
	}
	return true
}
