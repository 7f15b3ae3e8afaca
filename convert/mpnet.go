package convert

import (
	"math"

	"graft/graph"
)

// mpnet is a BERT without token types whose attention adds a bias by distance (Song et al. 2020).
var mpnet = &Arch{
	Name:       "mpnet",
	Doc:        "post-norm encoder with relative position bias (Song et al. 2020)",
	ModelTypes: []string{"mpnet"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newMpnetConfig() },
	Forward:    forward(mpnetForward),
}

type mpnetConfig struct{ bertConfig }

func newMpnetConfig() *mpnetConfig {
	c := &mpnetConfig{*newBertConfig()}
	c.Vocab = 30527
	return c
}

// mpnetPadding is the id that positions are counted from, which the library fixes whatever pad_token_id says.
const mpnetPadding = 1

func (c *mpnetConfig) Sizes() Sizes {
	s := c.bertConfig.Sizes()
	s.Positions -= mpnetPadding + 1
	s.Types = 0
	return s
}

func mpnetForward(b *graph.Builder, c *mpnetConfig, in Inputs) Outputs {
	e := b.Scope("embeddings")
	place := e.Add(in.Positions, e.Int64(mpnetPadding+1))
	x := b.Add(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden),
		e.Embedding("position_embeddings.weight", place, c.Positions, c.Hidden))
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Hidden, c.Eps), c.Dropout)
	bias := mpnetBias(b.Scope("encoder"), c, in)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("encoder.layer.%d", i)
		s := l.Scope("attention.attn")
		a := s.Attention(
			s.Linear("q", x, c.Hidden, c.Hidden),
			s.Linear("k", x, c.Hidden, c.Hidden),
			s.Linear("v", x, c.Hidden, c.Hidden),
			graph.AttentionOptions{Heads: c.Heads, Mask: bias, Dropout: c.AttentionDropout})
		a = l.Dropout(s.Linear("o", a, c.Hidden, c.Hidden), c.Dropout)
		x = l.LayerNorm("attention.LayerNorm", l.Add(a, x), c.Hidden, c.Eps)

		h := l.Activation(c.Act, l.Linear("intermediate.dense", x, c.Hidden, c.Intermediate))
		h = l.Dropout(l.Linear("output.dense", h, c.Intermediate, c.Hidden), c.Dropout)
		x = l.LayerNorm("output.LayerNorm", l.Add(h, x), c.Hidden, c.Eps)
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}

// The library fixes both, whatever relative_attention_num_buckets says.
const (
	mpnetBuckets  = 32
	mpnetDistance = 128
)

// mpnetBias is the learned bias by distance, the same in all layers, and shut where the key is
// padding: [batch, heads, sequence, sequence].
func mpnetBias(b *graph.Builder, c *mpnetConfig, in Inputs) *graph.Value {
	p := b.Scope("relative_position")
	far := p.Int64(mpnetDistance)
	near := p.Op("Max", []*graph.Value{p.Op("Min", []*graph.Value{in.Mask.Offset(), far}), p.Int64(-mpnetDistance)})
	table := p.Const(graph.NewTensor("buckets", mpnetBucketTable(), 2*mpnetDistance+1))
	bucket := p.Op("Gather", []*graph.Value{table, p.Add(near, far)}, graph.IntAttr("axis", 0))
	bias := b.Embedding("relative_attention_bias.weight", bucket, mpnetBuckets, c.Heads) // [query, key, heads]
	bias = p.Unsqueeze(p.Transpose(bias, 2, 0, 1), 0)
	return p.Where(in.Mask.Padding(), bias, p.Scalar(-1e9))
}

// mpnetBucketTable gives the bucket of each distance key - query from -128 to 128; farther ones
// share the last bucket. In float32, as transformers' relative_position_bucket (from T5) computes it.
func mpnetBucketTable() []int64 {
	const half, exact = mpnetBuckets / 2, mpnetBuckets / 4
	table := make([]int64, 2*mpnetDistance+1)
	for i := range table {
		n := mpnetDistance - i
		var bucket int64
		if n < 0 {
			bucket, n = half, -n
		}
		if n < exact {
			bucket += int64(n)
		} else {
			log := float32(math.Log(float64(float32(n) / exact)))
			far := exact + int64(log/float32(math.Log(mpnetDistance/exact))*(half-exact))
			bucket += min(far, half-1)
		}
		table[i] = bucket
	}
	return table
}
