//go:build !lite

package torch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/train/torch"
)

// BenchmarkMiniLM is forward and backward of MiniLM on 40 texts of 128 tokens in float32, plain, in the precision high and with recomputed
// blocks, and on 40 texts of one token, which is nearly Go's and libtorch's own cost of a step's operations.
func BenchmarkMiniLM(b *testing.B) {
	dir := filepath.Join(os.Getenv("GRAFT_MODELS"), "minilm")
	if _, err := os.Stat(dir); err != nil {
		missing(b, "%v", err)
	}
	for _, bench := range []struct {
		recompute bool
		precision string
		rows, len int
	}{{false, "highest", 40, 128}, {false, "high", 40, 128}, {true, "highest", 40, 128}, {false, "highest", 1, 1}} {
		b.Run(fmt.Sprintf("%dx%d/recompute=%v/%s", bench.rows, bench.len, bench.recompute, bench.precision), func(b *testing.B) {
			defer torch.Lock()()
			torch.BoundMemory()
			if err := torch.SetFloat32MatmulPrecision(bench.precision); err != nil {
				b.Fatal(err)
			}
			defer torch.SetFloat32MatmulPrecision("highest")
			p := compiled(b, opened(b, dir, convert.OpenOptions{}), torch.CompileOptions{
				Outputs: []string{"sentence_embedding"}, Recompute: bench.recompute})
			texts := fullBatch(bench.rows, bench.len)
			for b.Loop() {
				s := torch.NewScope()
				y := p.Run(s, texts.feed(s, p), torch.RunOptions{})["sentence_embedding"]
				s.Backward(s.Sum(y, false))
				if s.Err() != nil {
					b.Fatal(s.Err())
				}
				s.Close()
			}
		})
	}
}

// fullBatch is a batch without padding.
func fullBatch(rows, width int) *batch {
	ids, mask := make([]int64, rows*width), make([]int64, rows*width)
	for i := range ids {
		ids[i], mask[i] = int64(1000+i%20000), 1
	}
	return &batch{ids: &tokens{rows, width, ids}, mask: &tokens{rows, width, mask}}
}
