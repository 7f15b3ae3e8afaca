package convert

import (
	"math"

	"graft/graph"
)

// relativeBuckets sorts distances between tokens into the buckets of a learned bias (Raffel et al.
// 2019, section 2.1): half of them for keys behind the query; near distances have a bucket each, and far ones
// share buckets that grow, up to Distance, beyond which all share the last.
type relativeBuckets struct {
	Buckets  int // on both sides together
	Distance int
}

// bias is the learned bias of each head by distance, the same in all layers, and shut where the key is
// padding: [batch, heads, sequence, sequence]. name is its table, [Buckets, heads].
func (r relativeBuckets) bias(b *graph.Builder, name string, heads int, mask *Masks) *graph.Value {
	if r.Buckets < 4 || r.Buckets > 1<<16 || r.Distance <= r.Buckets/4 || r.Distance > 1<<20 {
		b.Errorf("config.json: %d buckets of relative positions for distances up to %d", r.Buckets, r.Distance)
		r = relativeBuckets{32, 128}
	}
	p := b.Scope("relative_position")
	far := p.Int64(int64(r.Distance))
	near := p.Op("Max", []*graph.Value{p.Op("Min", []*graph.Value{mask.Offset(), far}), p.Int64(int64(-r.Distance))})
	table := p.Const(graph.NewTensor("buckets", r.table(), int64(2*r.Distance+1)))
	bucket := p.Op("Gather", []*graph.Value{table, p.Add(near, far)}, graph.IntAttr("axis", 0))
	bias := b.Embedding(name, bucket, r.Buckets, heads) // [query, key, heads]
	bias = p.Unsqueeze(p.Transpose(bias, 2, 0, 1), 0)
	return p.Where(mask.Padding(), bias, p.Scalar(-1e9))
}

// table gives the bucket of each distance key - query from -Distance to Distance. In float32, as
// transformers' _relative_position_bucket computes it.
func (r relativeBuckets) table() []int64 {
	half := r.Buckets / 2
	exact := half / 2
	table := make([]int64, 2*r.Distance+1)
	for i := range table {
		n := r.Distance - i
		bucket := 0
		if n < 0 {
			bucket, n = half, -n
		}
		if n < exact {
			bucket += n
		} else {
			log := float32(math.Log(float64(float32(n) / float32(exact))))
			far := exact + int(log/float32(math.Log(float64(r.Distance)/float64(exact)))*float32(half-exact))
			bucket += min(far, half-1)
		}
		table[i] = int64(bucket)
	}
	return table
}
