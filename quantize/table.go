package quantize

import (
	"io"
	"regexp"

	"graft/graph"
	"graft/graph/pass"
)

// table is a table of embeddings: a float32 matrix [rows, width] of which Gather takes rows.
type table struct {
	name   string
	weight *graph.Value
	nodes  []*graph.Node // the Gathers that read it, as input 0
}

// Tables smaller than these stay: token types, biases of relative positions.
const (
	leastRows  = 64
	leastWidth = 16
)

// tables finds the tables that nothing but Gathers of rows read, in the graph's order.
func tables(g *graph.Graph) []*table {
	uses := g.Uses()
	var list []*table
	for _, v := range g.Initializers {
		t := v.Init
		if t.DType != graph.Float || len(t.Shape) != 2 || t.Shape[0] < leastRows || t.Shape[1] < leastWidth || g.Input(v.Name) != nil || g.IsOutput(v) {
			continue
		}
		found := &table{weight: v}
		for _, u := range uses[v] {
			if u.Index == 0 && u.Node.Is("Gather") && u.Node.Int("axis", 0) == 0 {
				found.nodes = append(found.nodes, u.Node)
			}
		}
		if len(found.nodes) == 0 || len(found.nodes) < len(uses[v]) {
			continue
		}
		found.name = pass.ModuleName(found.nodes[0], v)
		list = append(list, found)
	}
	return list
}

func (t *table) matches(re *regexp.Regexp) bool {
	if matches(re, t.name, t.weight.Name) {
		return true
	}
	for _, n := range t.nodes {
		if matches(re, n.Name) {
			return true
		}
	}
	return false
}

// quantize stores each row in int8 with a scale of its own, and has the rows that are looked up
// multiplied by theirs: Cast(Gather(codes, i))·Gather(scales, i), operators that every runtime has.
func (t *table) quantize(j *job) *rounding {
	b, r := j.b, roundRows(t.weight.Init)
	shape, name, data := t.weight.Init.Shape, t.weight.Name, r.data()
	quantized := b.Graph().AddInitializer(&graph.Tensor{Name: name + "_quantized", DType: graph.Int8, Shape: shape, Data: data[0]})
	scale := b.Graph().AddInitializer(&graph.Tensor{Name: name + "_scale", DType: graph.Float, Shape: []int64{shape[0], 1}, Data: data[1]})
	for _, n := range t.nodes {
		s := b.Scope("%s", n.Name)
		row := n.Outputs[0]
		indices := n.Inputs[1]
		product := s.Mul(
			s.Cast(s.Op("Gather", []*graph.Value{quantized, indices}, graph.IntAttr("axis", 0)), graph.Float),
			s.Op("Gather", []*graph.Value{scale, indices}, graph.IntAttr("axis", 0)))
		product.Def().SetOutput(0, row)
	}
	gathers := map[*graph.Node]bool{}
	for _, n := range t.nodes {
		gathers[n] = true
	}
	b.Graph().Remove(func(n *graph.Node) bool { return gathers[n] })
	return r
}

// roundRows is a matrix in int8, symmetric, with a scale for each row; a row of zeros has the scale 1.
func roundRows(t *graph.Tensor) *rounding {
	rows, width := int(t.Shape[0]), int(t.Shape[1])
	return &rounding{sizes: []int64{int64(rows * width), 4 * int64(rows)}, write: func(w io.Writer) ([][]byte, float64, error) {
		type part struct {
			codes  []byte
			scales []float32
			deviation
		}
		var all deviation
		var scales []byte
		err := inOrder(t, func(first int, x []float32) part {
			p := part{codes: make([]byte, len(x)), scales: make([]float32, len(x)/width)}
			for r := range p.scales {
				row, codes := x[r*width:][:width], p.codes[r*width:][:width]
				p.scales[r] = roundRow(codes, row)
				if sampled(first+r, rows) {
					for i, x := range row {
						p.add(x, float32(int8(codes[i]))*p.scales[r])
					}
				}
			}
			return p
		}, func(p part) error {
			all.error, all.of = all.error+p.error, all.of+p.of
			scales = append(scales, floatBytes(p.scales)...)
			if !finite(p.scales) {
				return errNotFinite
			}
			_, err := w.Write(p.codes)
			return err
		})
		return [][]byte{scales}, all.relative(), err
	}}
}

// roundRow rounds a row to its codes, ties to even, and returns its scale.
func roundRow(codes []byte, row []float32) float32 {
	x := largest(row)
	scale := max(x, -x) / mostCode
	if scale == 0 {
		scale = 1
	}
	for i, x := range row {
		codes[i] = byte(int8(evenly(x / scale)))
	}
	return scale
}

// evenly is the integer next to x, of at most 22 bits, ties to even: the sum has no bits for a fraction.
func evenly(x float32) int32 {
	const shift = 3 << 22
	return int32(float32(x+shift) - shift)
}
