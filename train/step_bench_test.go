//go:build !lite

package train

import (
	"cmp"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"graft/convert"
	"graft/train/dataset"
	"graft/train/torch"
)

// benchmarkBatch has queries and passages as long as SciFact's: 12 to 32 and 60 to 128 tokens.
func benchmarkBatch(queries, group int) dataset.Batch {
	r := rand.New(rand.NewPCG(1, 1))
	text := func(least, most int) []int32 {
		ids := make([]int32, least+r.IntN(most-least+1))
		for i := range ids {
			ids[i] = int32(1000 + r.IntN(20000))
		}
		return ids
	}
	var b dataset.Batch
	for range queries {
		g := dataset.Group{Query: text(12, 32), QueryHash: r.Uint64()}
		for range group {
			g.PassageHashes = append(g.PassageHashes, r.Uint64())
			g.Passages = append(g.Passages, text(60, 128))
		}
		b.Groups = append(b.Groups, g)
	}
	return b
}

// BenchmarkStep is a step's arithmetic on all-MiniLM-L6-v2, dropout as configured, for each way to cut a batch of 8
// queries with 8 passages.
func BenchmarkStep(b *testing.B) {
	dir := filepath.Join(os.Getenv("GRAFT_MODELS"), "minilm")
	if _, err := os.Stat(dir); err != nil {
		b.Skip("needs the model minilm in GRAFT_MODELS")
	}
	normalize := false
	m, err := convert.Open(dir, convert.OpenOptions{Normalize: &normalize})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	threads, _ := strconv.Atoi(os.Getenv("OMP_NUM_THREADS"))
	torch.SetThreads(cmp.Or(threads, 2))
	torch.BoundMemory()
	batch := benchmarkBatch(8, 8)
	for _, c := range []struct {
		name            string
		padding         string
		tokens, cacheOf int
	}{
		{"max_length", "max_length", 0, 0},
		{"longest", "longest", 0, 0},
		{"tokens=8192", "longest", 8192, 0},
		{"tokens=4096", "longest", 4096, 0},
		{"tokens=2048", "longest", 2048, 0},
		{"tokens=1024", "longest", 1024, 0},
		{"tokens=4096 GradCache=2", "longest", 4096, 2},
	} {
		o := DefaultOptions()
		o.QueryMaxLen, o.PassageMaxLen = 32, 128
		o.Padding, o.BatchTokens, o.GradCacheChunk = c.padding, c.tokens, c.cacheOf
		o.Parity = c.padding == "max_length"
		b.Run(c.name, func(b *testing.B) { benchmarkStep(b, m, o, batch) })
	}
}

// benchmarkStep computes a batch's gradient again and again.
func benchmarkStep(b *testing.B, m *convert.Model, o Options, batch dataset.Batch) {
	defer torch.Lock()()
	p, err := torch.Compile(m.Graph, torch.CompileOptions{Outputs: []string{embedding}})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	l, err := newObjective(o, m.Dim, nil)
	if err != nil {
		b.Fatal(err)
	}
	x, err := newStep(p, l, o, torch.Device{}, 0, 0, nil)
	if err != nil {
		b.Fatal(err)
	}
	params, err := chooseParameters(p, o)
	if err != nil {
		b.Fatal(err)
	}
	var st stats
	for b.Loop() {
		if st, err = x.accumulate(batch, 1); err != nil {
			b.Fatal(err)
		}
		torch.ZeroGrads(params.tensors)
	}
	texts, _ := x.collect(batch, 8)
	b.ReportMetric(float64(st.padded)/float64(st.tokens), "padded/token")
	b.ReportMetric(float64(len(x.split(texts))), "sub-batches")
}
