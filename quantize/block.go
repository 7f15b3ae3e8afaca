package quantize

import (
	"io"
	"math"

	"graft/graph"
)

// blocking is a way to store a matrix [K, N] in codes of 4 or 8 bits without sign, with a scale for each block of K of
// a column: w ≈ (code - zero)·scale. It is laid out as com.microsoft.MatMulNBits reads it.
type blocking struct {
	k, n, size, bits int
	asymmetric       bool // blocks have zero points; else half of the range is theirs
	positive         bool // scales are above 0, which costs a code where there are no zero points
}

// blocks are the codes of a matrix, or of some of its columns.
type blocks struct {
	blocking
	codes  []uint8   // [N, ceil(K/size), size], a code each; those past K are 0
	scales []float32 // [N, ceil(K/size)]
	zeros  []uint8   // the same; nil where there are no zero points
}

// blockSize is the number of weights that share a scale: what CUDA's fused kernels want, and the
// finest that costs little.
const blockSize = 32

// columns are blocks for n columns, to be filled.
func (b blocking) columns(n int) *blocks {
	b.n = n
	q := &blocks{blocking: b, codes: make([]uint8, n*b.perColumn()*b.size), scales: make([]float32, n*b.perColumn())}
	if b.asymmetric {
		q.zeros = make([]uint8, len(q.scales))
	}
	return q
}

// perColumn is the number of blocks of a column.
func (b blocking) perColumn() int { return (b.k + b.size - 1) / b.size }

// most is the largest code.
func (b blocking) most() int32 { return int32(1)<<b.bits - 1 }

// each rounds a float32 matrix to nearest, given as its transpose [N, K], as models store the weights of products: it is
// read as a stream, and use gets some columns after the other. It returns the relative error, of a large matrix that of some columns.
func (b blocking) each(transposed *graph.Tensor, use func(*blocks) error) (relative float64, err error) {
	type part struct {
		*blocks
		deviation
	}
	var all deviation
	err = inOrder(transposed, func(first int, columns graph.Chunk, old part) part {
		q := old.blocks
		if n := columns.Len() / b.k; q == nil || q.n != n {
			q = b.columns(n)
		}
		return part{q, q.round(columns, func(c int) bool { return sampled(first+c, b.n) })}
	}, func(p part) error {
		all.error, all.of = all.error+p.error, all.of+p.of
		if !finite(p.scales) {
			return errNotFinite
		}
		return use(p.blocks)
	})
	return all.relative(), err
}

// round quantizes columns, and tells what those miss that are measured.
func (q *blocks) round(transposed graph.Chunk, measured func(column int) bool) (d deviation) {
	column := make([]float32, q.k)
	i, most := 0, q.most() // i is the block
	for c := range q.n {
		transposed.Float32s(column, c*q.k)
		for rest := column; len(rest) > 0; i++ {
			w := rest[:min(q.size, len(rest))]
			rest = rest[len(w):]
			q.fit(i, w)
			encode(q.codes[i*q.size:], w, q.inverse(i), q.zero(i), most)
		}
		if measured(c) {
			q.deviates(c, column, &d)
		}
	}
	return d
}

// encode rounds the weights of a block to their codes. None is below the code 0, as the scale was fit to them; four are
// rounded at a time.
func encode(codes []uint8, w []float32, inverse, zero float32, most int32) {
	if vectors && len(w) == blockSize {
		encode32((*[blockSize]uint8)(codes), (*[blockSize]float32)(w), inverse, zero, most)
		return
	}
	for len(w) >= 4 && len(codes) >= 4 {
		codes[0] = uint8(min(int32(float32(w[0]*inverse)+zero+belowHalf), most))
		codes[1] = uint8(min(int32(float32(w[1]*inverse)+zero+belowHalf), most))
		codes[2] = uint8(min(int32(float32(w[2]*inverse)+zero+belowHalf), most))
		codes[3] = uint8(min(int32(float32(w[3]*inverse)+zero+belowHalf), most))
		w, codes = w[4:], codes[4:]
	}
	for i, x := range w {
		codes[i] = uint8(min(int32(float32(x*inverse)+zero+belowHalf), most))
	}
}

// deviates adds what the codes of a column miss of its weights.
func (q *blocks) deviates(c int, column []float32, d *deviation) {
	for block := range q.perColumn() {
		w := column[block*q.size : min((block+1)*q.size, q.k)]
		i := c*q.perColumn() + block
		scale, zero, codes := q.scales[i], q.zero(i), q.codes[i*q.size:][:len(w)]
		for k, x := range w {
			d.add(x, (float32(codes[k])-zero)*scale)
		}
	}
}

// fit sets the scale of block i from its weights as ONNX Runtime's quantizer does (core/mlas/lib/
// q4_dq.cpp): symmetric, the weight of largest magnitude gets the code 0, so the scale has the
// opposite of its sign; asymmetric, the range, 0 included, is spread over all codes.
func (q *blocks) fit(i int, w []float32) {
	if q.zeros == nil {
		x := largest(w)
		if !q.positive {
			q.scales[i] = x / -float32(int(1)<<(q.bits-1))
		} else if q.scales[i] = max(x, -x) / float32(int(1)<<(q.bits-1)-1); q.scales[i] == 0 {
			q.scales[i] = 1
		}
		return
	}
	lowest, highest := extremes(w)
	q.scales[i], q.zeros[i] = (highest-lowest)/float32(q.most()), 0
	if q.scales[i] != 0 {
		q.zeros[i] = uint8(nearest(-lowest/q.scales[i], q.most()))
	}
}

// largest is the number of largest magnitude, the negative one of two.
func largest(w []float32) float32 {
	lowest, highest := extremes(w)
	if math.Float32bits(highest) > math.Float32bits(lowest)&math.MaxInt32 { // which is true of a highest that is not a number
		return highest
	}
	return lowest
}

// extremes are the smallest and the largest number of w, 0 included. Bits of floats order as integers do: as integers with a
// sign, the largest is the largest number, and without, the smallest one.
func extremes(w []float32) (lowest, highest float32) {
	var low uint32
	var high int32
	if vectors && len(w) == blockSize {
		low, high = extremes32((*[blockSize]float32)(w))
	} else {
		for _, x := range w {
			b := math.Float32bits(x)
			low, high = max(low, b), max(high, int32(b))
		}
	}
	if low > 1<<31 {
		lowest = math.Float32frombits(low)
	}
	return lowest, math.Float32frombits(uint32(max(high, 0)))
}

// set rounds the weight at row k of a column to its code and returns what that stands for.
func (q *blocks) set(column, k int, w float32) float32 {
	i := column*q.perColumn() + k/q.size
	zero := q.zero(i)
	code := nearest(w*q.inverse(i)+zero, q.most())
	q.codes[i*q.size+k%q.size] = uint8(code)
	return (float32(code) - zero) * q.scales[i]
}

// belowHalf is the largest float32 below 1/2. With it in the place of 1/2, no number below 1/2 is rounded up to 1 by the sum itself.
const belowHalf = 0x1.fffffep-2

// nearest is the code next to x, ties away from zero.
func nearest(x float32, most int32) int32 { return min(max(int32(x+belowHalf), 0), most) }

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
	for i := range len(codes) / 2 {
		out[i] = codes[2*i]&15 | codes[2*i+1]<<4
	}
	if len(codes)%2 == 1 {
		out[len(out)-1] = codes[len(codes)-1] & 15
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

// zeroBytes is the number of bytes of a column's zero points.
func (b blocking) zeroBytes() int {
	if !b.asymmetric {
		return 0
	}
	return (b.perColumn()*b.bits + 7) / 8
}

// sizes are those of codes, scales and, where there are, zero points in a file.
func (b blocking) sizes() []int64 {
	n, per := int64(b.n), int64(b.perColumn())
	sizes := []int64{n * per * int64(b.size*b.bits/8), 4 * n * per}
	if b.asymmetric {
		sizes = append(sizes, n*int64(b.zeroBytes()))
	}
	return sizes
}

// rounding is the matrix, given as its transpose, in b to nearest.
func (b blocking) rounding(transposed *graph.Tensor) *rounding {
	return &rounding{sizes: b.sizes(), write: func(codes io.Writer) ([][]byte, float64, error) {
		others := make([][]byte, len(b.sizes())-1)
		e, err := b.each(transposed, func(q *blocks) error {
			parts := q.parts()
			for i, part := range parts[1:] {
				others[i] = append(others[i], part...)
			}
			_, err := codes.Write(parts[0])
			return err
		})
		return others, e, err
	}}
}

// parts are the codes, scales and, where there are, zero points as a file holds them.
func (q *blocks) parts() [][]byte {
	list := [][]byte{q.packed(), floatBytes(q.scales)}
	if q.asymmetric {
		list = append(list, q.packedZeros())
	}
	return list
}

// rowMajor are codes with sign [K, N] and scales [K/size, N], as DequantizeLinear reads them; size divides K.
func (q *blocks) rowMajor() [][]byte {
	codes, scales := make([]uint8, q.k*q.n), make([]float32, q.k/q.size*q.n)
	for c := range q.n {
		for k := range q.k {
			i := c*q.perColumn() + k/q.size
			codes[k*q.n+c] = q.codes[i*q.size+k%q.size] - 1<<(q.bits-1)
			scales[k/q.size*q.n+c] = q.scales[i]
		}
	}
	return [][]byte{pack(codes, q.bits), floatBytes(scales)}
}

// channelParts are the parts of roundChannels, of a single block of 8 bits to a column.
func (q *blocks) channelParts() [][]byte { return append(q.rowMajor(), make([]byte, q.n)) }

// roundingRowMajor is rounding in the layout of rowMajor.
func (b blocking) roundingRowMajor(transposed *graph.Tensor) *rounding {
	return &rounding{sizes: b.sizes(), write: func(codes io.Writer) ([][]byte, float64, error) {
		q, e, err := b.whole(transposed)
		if err != nil {
			return nil, 0, err
		}
		parts := q.rowMajor()
		_, err = codes.Write(parts[0])
		return parts[1:], e, err
	}}
}

// whole are the blocks of all columns, in memory.
func (b blocking) whole(transposed *graph.Tensor) (*blocks, float64, error) {
	all := &blocks{blocking: b}
	e, err := b.each(transposed, func(q *blocks) error {
		all.codes, all.scales, all.zeros = append(all.codes, q.codes...), append(all.scales, q.scales...), append(all.zeros, q.zeros...)
		return nil
	})
	return all, e, err
}

// matMulNBits makes n, a MatMul, multiply by what parts hold. The operator's accuracy_level is left at 0, with which
// the runtime does what is best in float32; at 4 it would round activations to 8 bits, block by block.
func (b blocking) matMulNBits(n *graph.Node, parts []*graph.Value) {
	n.Op, n.Domain = "MatMulNBits", graph.Microsoft
	n.Inputs = append(n.Inputs[:1:1], parts...)
	n.Attrs = []graph.Attr{
		graph.IntAttr("K", int64(b.k)), graph.IntAttr("N", int64(b.n)),
		graph.IntAttr("bits", int64(b.bits)), graph.IntAttr("block_size", int64(b.size)),
	}
}
