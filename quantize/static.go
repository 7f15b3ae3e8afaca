package quantize

import (
	"fmt"
	"math"

	"graft/graph"
)

// applyStatic has products computed on integers: x is quantized with the range that was measured, W
// is stored in int8, and QuantizeLinear and DequantizeLinear around the MatMul say so to the runtime.
// Nothing is quantized behind a product, so that sums, norms and GELU read float32.
func applyStatic(j *job) error {
	quantized := map[*graph.Value]*graph.Value{}
	most := float32(mostCode)
	if j.ReduceRange {
		most = reducedCode
	}
	apart, err := j.takeOutliers()
	if err != nil {
		return err
	}
	for _, m := range j.matrices {
		if !j.measured(m) {
			j.layers = append(j.layers, kept(m.name, "MatMul", m.weight))
			continue
		}
		form, features := "int8 per column", j.outliersOf(m)
		if len(features) > 0 {
			form = fmt.Sprintf("int8 per column, %d of %d features in float32", len(features), m.k)
		}
		r := roundChannels(func() ([]float32, error) { return m.without(features) }, m.k, m.n, most)
		j.storeChannels(m, r)
		for _, n := range m.nodes {
			x := n.Inputs[0]
			if quantized[x] == nil {
				quantized[x] = j.quantizeInput(x, j.calibration.ranges[x.Name])
			}
			n.Inputs[0] = quantized[x]
		}
		j.rounded(m, form, r)
		j.layers[len(j.layers)-1].After += apart[m]
	}
	return nil
}

// outliersOf are the features of m's input that are computed apart.
func (j *job) outliersOf(m *matrix) []int { return j.calibration.outliers[m.nodes[0].Inputs[0].Name] }

// takeOutliers takes the outliers of all products apart, before anything is rounded, and tells the bytes of each.
func (j *job) takeOutliers() (map[*matrix]int64, error) {
	taken := map[*matrix]int64{}
	for _, m := range j.matrices {
		features := j.outliersOf(m)
		if len(features) == 0 || !j.measured(m) {
			continue
		}
		w, err := m.values()
		if err != nil {
			return nil, err
		}
		if taken[m], err = j.takeApart(m, w, features); err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// measured reports whether the ranges of all inputs of m are known.
func (j *job) measured(m *matrix) bool {
	for _, n := range m.nodes {
		if _, ok := j.calibration.ranges[n.Inputs[0].Name]; !ok {
			return false
		}
	}
	return true
}

// quantizeInput is x through QuantizeLinear and back: in uint8 with a zero point, which the processors'
// u8·s8 products are made for, and for TensorRT in int8 around 0.
func (j *job) quantizeInput(x *graph.Value, l limits) *graph.Value {
	g := j.model.Graph
	var zero *graph.Tensor
	var scale float32
	if j.Target == TensorRT {
		scale, zero = l.symmetric(), graph.NewTensor(x.Name+"_zero_point", []int8{0})
	} else {
		var z uint8
		scale, z = l.asymmetric()
		zero = graph.NewTensor(x.Name+"_zero_point", []uint8{z})
	}
	parts := []*graph.Value{g.AddInitializer(graph.NewTensor(x.Name+"_scale", []float32{scale})), g.AddInitializer(zero)}
	b := j.b.Scope("%s", x.Name)
	q := b.Op("QuantizeLinear", append([]*graph.Value{x}, parts...))
	return b.Op("DequantizeLinear", append([]*graph.Value{q}, parts...))
}

// asymmetric spreads the limits, 0 included, over the codes 0 to 255.
func (l limits) asymmetric() (scale float32, zero uint8) {
	low, high := min(l.low, 0), max(l.high, 0)
	if scale = (high - low) / 255; scale == 0 {
		return 1, 0
	}
	return scale, uint8(min(max(math.RoundToEven(float64(-low/scale)), 0), 255))
}

// symmetric spreads the larger limit over the codes -127 to 127.
func (l limits) symmetric() float32 {
	if a := max(-l.low, l.high); a > 0 {
		return a / mostCode
	}
	return 1
}
