package convert

import "graft/graph"

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
	// The library fixes both, whatever relative_attention_num_buckets says.
	bias := relativeBuckets{Buckets: 32, Distance: 128}.bias(b.Scope("encoder"), "relative_attention_bias.weight", c.Heads, in.Mask)
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
		x = c.feedForward(l, x)
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}
