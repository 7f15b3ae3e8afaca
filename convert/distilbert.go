package convert

import "graft/graph"

// distilbert is BERT without token types, under names of its own (Sanh et al. 2019).
var distilbert = &Arch{
	Name:       "distilbert",
	Doc:        "post-norm encoder without token types (Sanh et al. 2019)",
	ModelTypes: []string{"distilbert"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newDistilbertConfig() },
	Forward:    forward(distilbertForward),
}

type distilbertConfig struct {
	Vocab            int     `json:"vocab_size"`
	Hidden           int     `json:"dim"`
	Layers           int     `json:"n_layers"`
	Heads            int     `json:"n_heads"`
	Intermediate     int     `json:"hidden_dim"`
	Act              string  `json:"activation"`
	Positions        int     `json:"max_position_embeddings"`
	Dropout          float64 `json:"dropout"`
	AttentionDropout float64 `json:"attention_dropout"`
}

func newDistilbertConfig() *distilbertConfig {
	return &distilbertConfig{Vocab: 30522, Hidden: 768, Layers: 6, Heads: 12, Intermediate: 3072, Act: "gelu", Positions: 512,
		Dropout: 0.1, AttentionDropout: 0.1}
}

func (c *distilbertConfig) Sizes() Sizes {
	return Sizes{Hidden: c.Hidden, Layers: c.Layers, Heads: c.Heads, HeadDim: headDim(0, c.Hidden, c.Heads), Vocab: c.Vocab, Positions: c.Positions}
}

func distilbertForward(b *graph.Builder, c *distilbertConfig, in Inputs) Outputs {
	const eps = 1e-12 // fixed in the library
	e := b.Scope("embeddings")
	x := b.Add(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden),
		e.Embedding("position_embeddings.weight", in.Positions, c.Positions, c.Hidden))
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Hidden, eps), c.Dropout)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("transformer.layer.%d", i)
		s := l.Scope("attention")
		a := s.Attention(
			s.Linear("q_lin", x, c.Hidden, c.Hidden),
			s.Linear("k_lin", x, c.Hidden, c.Hidden),
			s.Linear("v_lin", x, c.Hidden, c.Hidden),
			graph.AttentionOptions{Heads: c.Heads, Mask: in.Mask.Padding(), Dropout: c.AttentionDropout})
		a = s.Linear("out_lin", a, c.Hidden, c.Hidden)
		x = l.LayerNorm("sa_layer_norm", l.Add(a, x), c.Hidden, eps)

		h := l.Activation(c.Act, l.Linear("ffn.lin1", x, c.Hidden, c.Intermediate))
		h = l.Dropout(l.Linear("ffn.lin2", h, c.Intermediate, c.Hidden), c.Dropout)
		x = l.LayerNorm("output_layer_norm", l.Add(h, x), c.Hidden, eps)
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}
