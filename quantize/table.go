package quantize

import (
	"io"
	"regexp"
	"slices"

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

// block is the number of features of a row that share a scale in s: a whole row, or as many as of a product where rows can be cut so.
func (t *table) block(s Scheme) int64 {
	width := t.weight.Init.Shape[1]
	ranked := !slices.ContainsFunc(t.nodes, func(n *graph.Node) bool { return n.Inputs[1].Shape() == nil })
	if s.cutRows && width%blockSize == 0 && ranked {
		return blockSize
	}
	return width
}

// quantize stores rows in int8 with a scale for each block of them, and has the rows that are looked up
// multiplied by theirs: Cast(Gather(codes, i))·Gather(scales, i), operators that every runtime has.
func (t *table) quantize(j *job) *rounding {
	stored := t.weight.Init
	rows, width, block := stored.Shape[0], stored.Shape[1], t.block(j.scheme)
	shape, of := []int64{rows, width}, []int64{rows, 1}
	if block < width {
		shape, of = []int64{rows, width / block, block}, []int64{rows, width / block, 1}
	}
	b, name := j.b, t.weight.Name
	r := roundRows(&graph.Tensor{Name: name, DType: graph.Float, Shape: []int64{rows * width / block, block}, Data: stored.Data})
	data := r.data()
	codes := b.Graph().AddInitializer(&graph.Tensor{Name: name + "_quantized", DType: graph.Int8, Shape: shape, Data: data[0]})
	scales := b.Graph().AddInitializer(&graph.Tensor{Name: name + "_scale", DType: graph.Float, Shape: of, Data: data[1]})
	for _, n := range t.nodes {
		s := b.Scope("%s", n.Name)
		row, indices := n.Outputs[0], n.Inputs[1]
		found := s.Mul(
			s.Cast(s.Op("Gather", []*graph.Value{codes, indices}, graph.IntAttr("axis", 0)), graph.Float),
			s.Op("Gather", []*graph.Value{scales, indices}, graph.IntAttr("axis", 0)))
		if block < width {
			found = s.Reshape(found, append(make([]int64, len(indices.Shape())), width)...) // the indices' dimensions, then a row's
		}
		found.Def().SetOutput(0, row)
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
		err := inOrder(t, func(first int, x graph.Chunk, p part) part {
			if len(p.codes) != x.Len() {
				p.codes, p.scales = make([]byte, x.Len()), make([]float32, x.Len()/width)
			}
			p.deviation = deviation{}
			row := make([]float32, width)
			for r := range p.scales {
				x.Float32s(row, r*width)
				codes := p.codes[r*width:][:width]
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
