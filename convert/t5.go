package convert

import (
	"strings"

	"graft/graph"
)

// t5 is the encoder of T5 (Raffel et al. 2019): pre-norm blocks whose attention has a learned bias by
// distance in place of positions and scores that are not scaled. Checkpoints may hold the decoder too, which is left out.
var t5 = &Arch{
	Name:       "t5",
	Doc:        "pre-norm encoder with relative position bias, the first half of T5 (Raffel et al. 2019)",
	ModelTypes: []string{"t5"},
	Anchor:     "shared.weight",
	Config:     func() Config { return newT5Config() },
	Forward:    forward(t5Forward),
}

type t5Config struct {
	Vocab        int     `json:"vocab_size"`
	Hidden       int     `json:"d_model"`
	Layers       int     `json:"num_layers"`
	Heads        int     `json:"num_heads"`
	HeadDim      int     `json:"d_kv"`
	Intermediate int     `json:"d_ff"`
	Projection   string  `json:"feed_forward_proj"` // an activation, "gated-" before it where another product multiplies it
	Positions    int     `json:"n_positions"`       // the library takes any number and configs seldom say one
	Buckets      int     `json:"relative_attention_num_buckets"`
	Distance     int     `json:"relative_attention_max_distance"`
	Eps          float64 `json:"layer_norm_epsilon"`
	Dropout      float64 `json:"dropout_rate"`
}

func newT5Config() *t5Config {
	return &t5Config{Vocab: 32128, Hidden: 512, Layers: 6, Heads: 8, HeadDim: 64, Intermediate: 2048, Projection: "relu", Positions: 512,
		Buckets: 32, Distance: 128, Eps: 1e-6, Dropout: 0.1}
}

func (c *t5Config) Sizes() Sizes {
	return Sizes{Hidden: c.Hidden, Layers: c.Layers, Heads: c.Heads, HeadDim: c.HeadDim, Vocab: c.Vocab, Positions: c.Positions}
}

func t5Forward(b *graph.Builder, c *t5Config, in Inputs) Outputs {
	x := b.Dropout(b.Embedding("shared.weight", in.IDs, c.Vocab, c.Hidden), c.Dropout)
	b = b.Scope("encoder")
	buckets := relativeBuckets{c.Buckets, c.Distance}
	bias := buckets.bias(b, "block.0.layer.0.SelfAttention.relative_attention_bias.weight", c.Heads, in.Mask)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("block.%d.layer.0", i)
		h := c.attention(l.Scope("SelfAttention"), l.RMSNorm("layer_norm", x, c.Hidden, c.Eps), bias)
		x = l.Add(x, l.Dropout(h, c.Dropout))
		l = b.Scope("block.%d.layer.1", i)
		h = c.feedForward(l.Scope("DenseReluDense"), l.RMSNorm("layer_norm", x, c.Hidden, c.Eps))
		x = l.Add(x, l.Dropout(h, c.Dropout))
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = b.Dropout(b.RMSNorm("final_layer_norm", x, c.Hidden, c.Eps), c.Dropout)
	return out
}

func (c *t5Config) attention(s *graph.Builder, x, bias *graph.Value) *graph.Value {
	inner := c.Heads * c.HeadDim
	a := s.Attention(s.LinearNoBias("q", x, c.Hidden, inner), s.LinearNoBias("k", x, c.Hidden, inner), s.LinearNoBias("v", x, c.Hidden, inner),
		graph.AttentionOptions{Heads: c.Heads, Scale: 1, Mask: bias, Dropout: c.Dropout})
	return s.LinearNoBias("o", a, inner, c.Hidden)
}

func (c *t5Config) feedForward(m *graph.Builder, x *graph.Value) *graph.Value {
	act, gated := strings.CutPrefix(c.Projection, "gated-")
	if c.Projection == "gated-gelu" {
		act = "gelu_new" // what its name meant when its checkpoints were made
	}
	var h *graph.Value
	if gated {
		h = m.Mul(m.Activation(act, m.LinearNoBias("wi_0", x, c.Hidden, c.Intermediate)), m.LinearNoBias("wi_1", x, c.Hidden, c.Intermediate))
	} else {
		h = m.Activation(act, m.LinearNoBias("wi", x, c.Hidden, c.Intermediate))
	}
	return m.LinearNoBias("wo", m.Dropout(h, c.Dropout), c.Intermediate, c.Hidden)
}
