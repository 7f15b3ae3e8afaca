package quantize

import (
	"io"
	"math"

	"graft/graph"
)

// channels is a matrix [K, N] in int8, symmetric, with a scale for each column: w ≈ code·scale. It is
// what onnxruntime.quantization makes with per_channel (quant_utils.py, compute_scale_zp).
type channels struct {
	k, n   int
	codes  []uint8   // row-major [K, N], the bits of int8
	scales []float32 // [N]
}

// mostCode is the largest code of weights in 8 bits and, for processors whose products of u8 and s8
// saturate in 16 bits, in 7.
const (
	mostCode    = 127
	reducedCode = 63
)

// newChannels rounds w to nearest, ties to even; the largest magnitude of a column gets the code most.
// A column of zeros has the scale 1.
func newChannels(w []float32, k, n int, most float32) *channels {
	c := &channels{k: k, n: n, codes: make([]uint8, len(w)), scales: make([]float32, n)}
	for i := 0; i < len(w); i += n {
		for j, x := range w[i : i+n] {
			c.scales[j] = max(c.scales[j], float32(math.Abs(float64(x))))
		}
	}
	for j, largest := range c.scales {
		if c.scales[j] = largest / most; c.scales[j] == 0 {
			c.scales[j] = 1
		}
	}
	for i := 0; i < len(w); i += n {
		codes := c.codes[i : i+n]
		for j, x := range w[i : i+n] {
			q := math.RoundToEven(float64(x / c.scales[j]))
			codes[j] = uint8(int8(min(max(q, -float64(most)), float64(most))))
		}
	}
	return c
}

// values are what the codes stand for.
func (c *channels) values() []float32 {
	w := make([]float32, len(c.codes))
	for i, q := range c.codes {
		w[i] = float32(int8(q)) * c.scales[i%c.n]
	}
	return w
}

// roundChannels is the rounding of a matrix [K, N], of which values gives the weights, row-major.
func roundChannels(values func() ([]float32, error), k, n int, most float32) *rounding {
	return &rounding{sizes: []int64{int64(k * n), int64(4 * n), int64(n)}, write: func(codes io.Writer) ([][]byte, float64, error) {
		w, err := values()
		if err != nil {
			return nil, 0, err
		}
		c := newChannels(w, k, n, most)
		if !finite(c.scales) {
			return nil, 0, errNotFinite
		}
		_, err = codes.Write(c.codes)
		return [][]byte{floatBytes(c.scales), make([]byte, n)}, relativeError(w, c.values()), err
	}}
}

// channelParts adds codes, scales and zero points of r, from roundChannels, to the graph, under the names that
// onnxruntime.quantization gives them.
func (j *job) channelParts(m *matrix, r *rounding) []*graph.Value {
	g, name, data := j.model.Graph, m.weight.Name, r.data()
	return []*graph.Value{
		g.AddInitializer(&graph.Tensor{Name: name + "_quantized", DType: graph.Int8, Shape: []int64{int64(m.k), int64(m.n)}, Data: data[0]}),
		g.AddInitializer(&graph.Tensor{Name: name + "_scale", DType: graph.Float, Shape: []int64{int64(m.n)}, Data: data[1]}),
		g.AddInitializer(&graph.Tensor{Name: name + "_zero_point", DType: graph.Int8, Shape: []int64{int64(m.n)}, Data: data[2]}),
	}
}

// relativeError is |w - v| / |w| in Frobenius norms; 0 where w is zero.
func relativeError(w, v []float32) float64 {
	var d deviation
	for i := range w {
		d.add(w[i], v[i])
	}
	return d.relative()
}

// deviation sums the squares of weights and of what their codes miss.
type deviation struct{ error, of float64 }

func (d *deviation) add(w, v float32) {
	x, e := float64(w), float64(w)-float64(v)
	d.error, d.of = d.error+e*e, d.of+x*x
}

func (d *deviation) relative() float64 {
	if d.of == 0 {
		return 0
	}
	return math.Sqrt(d.error / d.of)
}
