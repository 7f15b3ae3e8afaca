package quantize

import (
	"math"

	"graft/graph"
)

// channels is a matrix [K, N] in int8, symmetric, with a scale for each column: w ≈ code·scale. It is
// what onnxruntime.quantization makes with per_channel (quant_utils.py, compute_scale_zp).
type channels struct {
	k, n   int
	codes  []int8    // row-major [K, N]
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
	c := &channels{k: k, n: n, codes: make([]int8, len(w)), scales: make([]float32, n)}
	for i, x := range w {
		c.scales[i%n] = max(c.scales[i%n], float32(math.Abs(float64(x))))
	}
	for i, largest := range c.scales {
		if c.scales[i] = largest / most; c.scales[i] == 0 {
			c.scales[i] = 1
		}
	}
	for i, x := range w {
		q := math.RoundToEven(float64(x / c.scales[i%n]))
		c.codes[i] = int8(min(max(q, -float64(most)), float64(most)))
	}
	return c
}

// values are what the codes stand for.
func (c *channels) values() []float32 {
	w := make([]float32, len(c.codes))
	for i, q := range c.codes {
		w[i] = float32(q) * c.scales[i%c.n]
	}
	return w
}

// bytes of codes, scales and zero points in a file.
func (c *channels) bytes() int64 { return int64(len(c.codes) + 5*len(c.scales)) }

// dequantize appends the matrix as DequantizeLinear, under the names that onnxruntime.quantization
// gives its parts.
func (c *channels) dequantize(j *job, name string) *graph.Value {
	shape := []int64{int64(c.k), int64(c.n)}
	in := []*graph.Value{
		j.keep(graph.NewTensor(name+"_quantized", c.codes, shape...)),
		j.keep(graph.NewTensor(name+"_scale", c.scales, int64(c.n))),
		j.keep(graph.NewTensor(name+"_zero_point", make([]int8, c.n), int64(c.n))),
	}
	return j.b.Op("DequantizeLinear", in, graph.IntAttr("axis", 1))
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
