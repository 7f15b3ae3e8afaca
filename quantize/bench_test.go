package quantize

import (
	"fmt"
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
				if _, err := newBlocks(k, n, blockSize, bits, bits == 4).round(wide); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("table", func(b *testing.B) {
		b.SetBytes(2 * k * n)
		for b.Loop() {
			if _, _, _, err := roundRows(wide); err != nil {
				b.Fatal(err)
			}
		}
	})
}
