package quantize

import (
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"

	"graft/graph"
)

// blocks is a matrix [K, N] in codes of 4 or 8 bits without sign, with a scale for each block of K of a
// column: w ≈ (code - zero)·scale. It is laid out as com.microsoft.MatMulNBits reads it.
type blocks struct {
	k, n, size, bits int
	codes            []uint8   // [N, ceil(K/size), size], a code each; those past K are 0
	scales           []float32 // [N, ceil(K/size)]
	zeros            []uint8   // the same; nil: half of the range for all
	positive         bool      // scales are above 0, which costs a code where there are no zero points
}

// blockSize is the number of weights that share a scale: what CUDA's fused kernels want, and the
// finest that costs little.
const blockSize = 32

func newBlocks(k, n, size, bits int, asymmetric bool) *blocks {
	q := &blocks{k: k, n: n, size: size, bits: bits}
	q.codes = make([]uint8, n*q.perColumn()*size)
	q.scales = make([]float32, n*q.perColumn())
	if asymmetric {
		q.zeros = make([]uint8, len(q.scales))
	}
	return q
}

// perColumn is the number of blocks of a column.
func (q *blocks) perColumn() int { return (q.k + q.size - 1) / q.size }

// round quantizes a float32 matrix to nearest, given as its transpose [N, K], as models store the weights of products: columns
// are read as a stream and rounded on all cores. It returns the relative error, of a large matrix that of some columns.
func (q *blocks) round(transposed *graph.Tensor) (float64, error) {
	const columns = 64 // at a time
	parts := make([]deviation, (q.n+columns-1)/columns)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	err := transposed.Float32Chunks(columns*q.k, func(at int64, w []float32) error {
		first := int(at) / q.k
		group.Go(func() error {
			for c := range len(w) / q.k {
				q.roundColumn(first+c, w[c*q.k:(c+1)*q.k], &parts[first/columns])
			}
			return nil
		})
		return nil
	})
	group.Wait()
	var all deviation
	for _, p := range parts {
		all.error, all.of = all.error+p.error, all.of+p.of
	}
	return all.relative(), err
}

func (q *blocks) roundColumn(c int, w []float32, d *deviation) {
	for b := range q.perColumn() {
		part := w[b*q.size : min((b+1)*q.size, q.k)]
		q.fit(c, b, part)
		i := c*q.perColumn() + b
		scale, zero, inverse, most := q.scales[i], q.zero(i), q.inverse(i), q.most()
		codes := q.codes[i*q.size:][:len(part)]
		for k, x := range part {
			codes[k] = uint8(nearest(x*inverse+zero, most))
		}
		if c%q.measured() != 0 {
			continue
		}
		for k, x := range part {
			d.add(x, (float32(codes[k])-zero)*scale)
		}
	}
}

// measured is how many columns there are to one of which the error is taken: all of a small matrix, an eighth of a large one, which
// takes a third less time so.
func (q *blocks) measured() int {
	if q.n < 1024 {
		return 1
	}
	return 8
}

// fit sets the scale of a block from its weights as ONNX Runtime's quantizer does (core/mlas/lib/
// q4_dq.cpp): symmetric, the weight of largest magnitude gets the code 0, so the scale has the
// opposite of its sign; asymmetric, the range, 0 included, is spread over all codes.
func (q *blocks) fit(column, block int, w []float32) {
	i := column*q.perColumn() + block
	lowest, highest := extremes(w)
	if q.positive {
		q.scales[i] = max(highest, -lowest) / float32(int(1)<<(q.bits-1)-1)
		if q.scales[i] == 0 {
			q.scales[i] = 1
		}
		return
	}
	if q.zeros == nil {
		largest := lowest
		if highest > -lowest {
			largest = highest
		}
		q.scales[i] = largest / -float32(int(1)<<(q.bits-1))
		return
	}
	q.scales[i] = (highest - lowest) / float32(q.most())
	if q.scales[i] != 0 {
		q.zeros[i] = uint8(nearest(-lowest/q.scales[i], q.most()))
	}
}

// extremes are the smallest and the largest number of w, 0 included. Bits of floats order as integers do, but for the
// order of negative ones, and are compared without a branch: which is the next extreme nobody can predict.
func extremes(w []float32) (lowest, highest float32) {
	var low, high int32
	for _, x := range w {
		b := int32(math.Float32bits(x))
		b ^= b >> 31 & math.MaxInt32
		low, high = min(low, b), max(high, b)
	}
	return math.Float32frombits(uint32(low ^ low>>31&math.MaxInt32)), math.Float32frombits(uint32(high))
}

// set rounds the weight at row k of a column to its code and returns what that stands for.
func (q *blocks) set(column, k int, w float32) float32 {
	i := column*q.perColumn() + k/q.size
	zero := q.zero(i)
	code := nearest(w*q.inverse(i)+zero, q.most())
	q.codes[i*q.size+k%q.size] = uint8(code)
	return (float32(code) - zero) * q.scales[i]
}

// nearest is the code next to x, ties away from zero.
func nearest(x float32, most int32) int32 {
	return min(max(int32(float64(x)+0.5), 0), most)
}

// most is the largest code.
func (q *blocks) most() int32 { return int32(1)<<q.bits - 1 }

// inverse is 1 over the scale of block i; 0 for a block of zeros.
func (q *blocks) inverse(i int) float32 {
	if q.scales[i] == 0 {
		return 0
	}
	return 1 / q.scales[i]
}

// zero is the code that stands for 0 in block i.
func (q *blocks) zero(i int) float32 {
	if q.zeros == nil {
		return float32(int(1) << (q.bits - 1))
	}
	return float32(q.zeros[i])
}

// values are what the codes stand for, row-major [K, N].
func (q *blocks) values() []float32 {
	w := make([]float32, q.k*q.n)
	for c := range q.n {
		for k := range q.k {
			i := c*q.perColumn() + k/q.size
			w[k*q.n+c] = (float32(q.codes[i*q.size+k%q.size]) - q.zero(i)) * q.scales[i]
		}
	}
	return w
}

// packed are the codes in bytes: of 4 bits two to a byte, low nibble first.
func (q *blocks) packed() []uint8 { return pack(q.codes, q.bits) }

func pack(codes []uint8, bits int) []uint8 {
	if bits == 8 {
		return codes
	}
	out := make([]uint8, (len(codes)+1)/2)
	for i, c := range codes {
		out[i/2] |= c & 15 << (4 * (i % 2))
	}
	return out
}

// packedZeros are the zero points [N, ceil(blocks·bits/8)]: each column's begin at a byte, and an
// odd one out is followed by 8, as the quantizer leaves it.
func (q *blocks) packedZeros() []uint8 {
	if q.bits == 8 {
		return q.zeros
	}
	per := q.perColumn()
	var out []uint8
	for c := range q.n {
		row := append([]uint8{}, q.zeros[c*per:(c+1)*per]...)
		if per%2 == 1 {
			row = append(row, 8)
		}
		out = append(out, pack(row, q.bits)...)
	}
	return out
}

// bytes of codes, scales and zero points in a file.
func (q *blocks) bytes() int64 {
	n := len(q.codes)*q.bits/8 + 4*len(q.scales)
	if q.zeros != nil {
		n += len(q.packedZeros())
	}
	return int64(n)
}

// matMulNBits makes n, a MatMul, multiply by q. accuracy is the operator's accuracy_level: 0 takes
// what the runtime does best in float32, 4 rounds activations to 8 bits, block by block.
func (q *blocks) matMulNBits(g *graph.Graph, n *graph.Node, parts []*graph.Value, accuracy int64) {
	n.Op, n.Domain = "MatMulNBits", graph.Microsoft
	n.Inputs = append(n.Inputs[:1:1], parts...)
	n.Attrs = []graph.Attr{
		graph.IntAttr("K", int64(q.k)), graph.IntAttr("N", int64(q.n)),
		graph.IntAttr("bits", int64(q.bits)), graph.IntAttr("block_size", int64(q.size)),
	}
	if accuracy > 0 {
		n.Attrs = append(n.Attrs, graph.IntAttr("accuracy_level", accuracy))
	}
}
