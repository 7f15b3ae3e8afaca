package convert

import (
	"math"
	"strings"

	"graft/graph"
)

// relativeKeys are the embeddings of distances between tokens, which DeBERTa's attention multiplies
// with queries and keys (He et al. 2020, section 3.1).
type relativeKeys struct {
	heads, size int
	scale       float64      // of the scores
	table       *graph.Value // [2·span, hidden], the row span + bucket for each bucket of query - key
	ahead       *graph.Value // int64 [2n], n tokens: the row for each key - query from 1-n to n
	behind      *graph.Value // the same for each query - key
	tokens      *graph.Value // int64 [1]: n
}

// relativeKeys makes the table and its indices; b is the scope of the encoder.
func (c *debertaConfig) relativeKeys(b *graph.Builder, in Inputs) *relativeKeys {
	distance := c.MaxRel
	if distance < 1 {
		distance = c.Positions
	}
	span := distance
	if c.Buckets > 0 {
		span = c.Buckets
	}
	if distance < 1 || distance > 1<<20 || c.Buckets > 0 && (c.Buckets%2 != 0 || c.Buckets/2 >= distance-1) {
		b.Errorf("config.json: position_buckets %d for distances up to %d; an even number below twice the distance is known, or none", c.Buckets, distance)
		return nil
	}
	table := b.Weight("rel_embeddings.weight", 2*span, c.Hidden)
	for norm := range strings.SplitSeq(strings.ToLower(c.NormRel), "|") {
		if strings.TrimSpace(norm) == "layer_norm" {
			table = b.LayerNorm("LayerNorm", table, c.Hidden, c.Eps)
		}
	}
	p := b.Scope("relative_position")
	n := p.Size(in.Mask.Attention, 1)
	one := p.Int64(1)
	places := p.Op("Range", []*graph.Value{p.Int64(0), p.Mul(p.Squeeze(n, 0), p.Int64(2)), one})
	back := p.Sub(places, p.Sub(n, one)) // from 1-n to n
	rows := p.Const(graph.NewTensor("rows", relativeRows(c.Buckets, distance, span), int64(2*distance+1)))
	row := func(behind *graph.Value) *graph.Value {
		far := p.Int64(int64(distance))
		near := p.Op("Max", []*graph.Value{p.Op("Min", []*graph.Value{behind, far}), p.Int64(int64(-distance))})
		return p.Op("Gather", []*graph.Value{rows, p.Add(near, far)}, graph.IntAttr("axis", 0))
	}
	return &relativeKeys{heads: c.Heads, size: headDim(0, c.Hidden, c.Heads), scale: c.scale(), table: table, tokens: n,
		ahead: row(p.Op("Neg", []*graph.Value{back})), behind: row(back)}
}

// scores are the products of x [batch, n, hidden] with the projected table's row for the distance of
// each other token: [batch, heads, n, n]. rows says which row is for which distance.
//
// Distances from 1-n to n make 2n columns, of which token i wants n, from column n-1-i on. In rows
// that are one column shorter those of all tokens begin at the same place.
func (r *relativeKeys) scores(s *graph.Builder, x, table, rows *graph.Value) *graph.Value {
	keys := s.Op("Gather", []*graph.Value{table, rows}, graph.IntAttr("axis", 0))
	keys = s.Mul(keys, s.Scalar(float32(r.scale)))
	keys = s.Transpose(s.Reshape(keys, -1, int64(r.heads), int64(r.size)), 1, 2, 0)
	x = s.Transpose(s.Reshape(x, 0, 0, int64(r.heads), int64(r.size)), 0, 2, 1, 3)
	far := s.MatMul(x, keys) // [batch, heads, n, 2n]
	slice := func(v, start, end *graph.Value, axis int64) *graph.Value {
		return s.Op("Slice", []*graph.Value{v, start, end, s.Int64s(axis)})
	}
	flat := slice(s.Reshape(far, 0, 0, -1), s.Sub(r.tokens, s.Int64(1)), s.Int64s(-1), 2)
	shape := s.Op("Concat", []*graph.Value{s.Int64s(0, 0), r.tokens, s.Int64s(-1)}, graph.IntAttr("axis", 0))
	short := s.Op("Reshape", []*graph.Value{flat, shape}) // [batch, heads, n, 2n-1]
	return slice(short, s.Int64s(0), r.tokens, 3)
}

// relativeRows gives the row of the table for each query - key from -distance to distance; farther
// tokens are as far as these. Near distances have a row each. With buckets, those beyond half of
// them share rows that grow with the logarithm. In float32, as transformers' make_log_bucket_position computes it.
func relativeRows(buckets, distance, span int) []int64 {
	rows := make([]int64, 2*distance+1)
	for i := range rows {
		d := i - distance
		if far := max(d, -d); buckets > 0 && far > buckets/2 {
			d = d / far * logBucket(far, buckets/2, distance)
		}
		rows[i] = int64(min(max(d+span, 0), 2*span-1))
	}
	return rows
}

// logBucket is the bucket of a distance beyond mid, distance - 1 being the last of its own.
func logBucket(far, mid, distance int) int {
	log := func(x float32) float32 { return float32(math.Log(float64(x))) }
	share := log(float32(far)/float32(mid)) / log(float32(float64(distance-1)/float64(mid)))
	return mid + int(math.Ceil(float64(share*float32(mid-1))))
}
