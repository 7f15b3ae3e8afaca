package quantize

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"graft/graph"
)

// Rounding to nearest, the time of large models.
func BenchmarkRound(b *testing.B) {
	const k, n = 4096, 1024
	r := rand.New(rand.NewPCG(1, 2))
	w := make([]uint16, k*n)
	for i := range w {
		w[i] = graph.Float32ToBFloat16(float32(0.02 * r.NormFloat64()))
	}
	stored := graph.NewTensor("w", w, n, k)
	stored.DType = graph.BFloat16
	wide := graph.Convert(stored, graph.Float)
	for _, bits := range []int{8, 4} {
		b.Run(fmt.Sprintf("int%d", bits), func(b *testing.B) {
			b.SetBytes(2 * k * n)
			for b.Loop() {
				q := blocking{k: k, n: n, size: blockSize, bits: bits, asymmetric: bits == 4}
				if _, _, err := q.rounding(wide).write(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("table", func(b *testing.B) {
		b.SetBytes(2 * k * n)
		for b.Loop() {
			if _, _, err := roundRows(wide).write(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}
