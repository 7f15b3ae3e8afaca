package quantize

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"graft/graph"
)

// plainly rounds blocks as round does, one weight at a time: shorter blocks than whole ones take no vector instructions.
func plainly(w []float32, inverse, zero float32, most int32) (codes []uint8, lowest, highest float32) {
	codes = make([]uint8, len(w))
	for i := range w {
		encode(codes[i:], w[i:i+1], inverse, zero, most)
		l, h := extremes(w[i : i+1])
		lowest, highest = min(lowest, l), max(highest, h)
	}
	return codes, lowest, highest
}

// A whole block has the codes and extremes of its weights one by one, at ties and next to them too.
func TestBlocksAsOneByOne(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	w, codes := make([]float32, blockSize), make([]uint8, blockSize)
	for n := range 20_000 {
		most, zero := int32(15), float32(r.IntN(16))
		if n%2 == 0 {
			most, zero = 255, float32(r.IntN(256))
		}
		inverse := float32(math.Ldexp(1, r.IntN(9)-4))
		for i := range w {
			x := (r.Float32()*(float32(most)+0.5) - zero) / inverse
			switch r.IntN(4) { // of the numbers that are rounded: a tie, or beside one
			case 0:
				x = (float32(r.IntN(int(most))) + 0.5 - zero) / inverse
			case 1:
				x = math.Nextafter32((float32(r.IntN(int(most)))+0.5-zero)/inverse, float32(r.IntN(2)*1000-500))
			}
			w[i] = max(x, -zero/inverse)
		}
		want, lowest, highest := plainly(w, inverse, zero, most)
		encode(codes, w, inverse, zero, most)
		if !slices.Equal(codes, want) {
			t.Fatalf("codes %d of %v, zero %g: want %d", codes, w, zero, want)
		}
		if l, h := extremes(w); l != lowest || h != highest {
			t.Fatalf("extremes %g and %g of %v, want %g and %g", l, h, w, lowest, highest)
		}
		for i, x := range w { // away from zero at ties, as ONNX Runtime's quantizer
			if c := math.Floor(float64(float32(x*inverse)+zero) + 0.5); float64(want[i]) != min(c, float64(most)) {
				t.Fatalf("code %d of %g, zero %g: want %g", want[i], x*inverse, zero, c)
			}
		}
	}
}

// Weights that are no numbers are refused, wherever they stand and whatever their sign.
func TestNotFinite(t *testing.T) {
	for _, x := range []float32{float32(math.NaN()), float32(math.Copysign(math.NaN(), -1)), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, at := range []int{0, blockSize - 1, blockSize + 3} { // the last in a block that is not whole
			w := make([]float32, blockSize+4)
			w[at], w[1], w[2] = x, 1, -2
			matrix := graph.NewTensor("w", w, 1, int64(len(w)))
			for _, b := range []blocking{{k: len(w), n: 1, size: blockSize, bits: 8}, {k: len(w), n: 1, size: blockSize, bits: 4, asymmetric: true}} {
				if _, _, err := b.whole(matrix); err != errNotFinite {
					t.Errorf("%g at %d of blocks of %d bits: %v", x, at, b.bits, err)
				}
			}
			if err := roundRows(matrix).measure(); err != errNotFinite {
				t.Errorf("%g at %d of a row: %v", x, at, err)
			}
		}
	}
}
