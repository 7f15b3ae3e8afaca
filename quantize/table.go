package quantize

import (
	"math"
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

// bytes of codes and scales in a file.
func (t *table) bytes() int64 {
	rows, width := t.weight.Init.Shape[0], t.weight.Init.Shape[1]
	return rows*width + 4*rows
}

// quantize stores each row in int8 with a scale of its own, and has the rows that are looked up
// multiplied by theirs: Cast(Gather(codes, i))·Gather(scales, i), operators that every runtime has.
// It returns the relative error of the table.
func (t *table) quantize(j *job) (float64, error) {
	b := j.b
	shape := t.weight.Init.Shape
	codes, scales, e, err := roundRows(t.weight.Init)
	if err != nil {
		return 0, err
	}
	name := t.weight.Name
	quantized := j.keep(graph.NewTensor(name+"_quantized", codes, shape...))
	scale := j.keep(graph.NewTensor(name+"_scale", scales, shape[0], 1))
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
	return e, nil
}

// roundRows is a matrix in int8, symmetric, with a scale for each row, and its relative error; a row of zeros has the
// scale 1. The matrix is read as a stream.
func roundRows(t *graph.Tensor) (codes []int8, scales []float32, relative float64, err error) {
	rows, width := int(t.Shape[0]), int(t.Shape[1])
	codes, scales = make([]int8, rows*width), make([]float32, rows)
	var d deviation
	err = t.Float32Chunks(width, func(at int64, row []float32) error {
		r := int(at) / width
		var largest float32
		for _, x := range row {
			if x = float32(math.Abs(float64(x))); x > largest {
				largest = x
			}
		}
		if scales[r] = largest / mostCode; scales[r] == 0 {
			scales[r] = 1
		}
		for i, x := range row {
			code := math.RoundToEven(float64(x / scales[r]))
			codes[r*width+i] = int8(code)
			d.add(x, float32(code)*scales[r])
		}
		return nil
	})
	return codes, scales, d.relative(), err
}
