package convert

import "graft/graph"

// bert is the post-norm encoder of Devlin et al. (2018).
var bert = &Arch{
	Name:       "bert",
	Doc:        "post-norm encoder with learned positions (Devlin et al. 2018)",
	ModelTypes: []string{"bert"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newBertConfig() },
	Forward:    forward(bertForward),
}

// bertConfig is the config.json of bert and of the encoders that share its blocks.
type bertConfig struct {
	Vocab            int     `json:"vocab_size"`
	Hidden           int     `json:"hidden_size"`
	Layers           int     `json:"num_hidden_layers"`
	Heads            int     `json:"num_attention_heads"`
	Intermediate     int     `json:"intermediate_size"`
	Act              string  `json:"hidden_act"`
	Positions        int     `json:"max_position_embeddings"`
	Types            int     `json:"type_vocab_size"`
	Eps              float64 `json:"layer_norm_eps"`
	Dropout          float64 `json:"hidden_dropout_prob"`
	AttentionDropout float64 `json:"attention_probs_dropout_prob"`
	PositionType     string  `json:"position_embedding_type"`
	Decoder          bool    `json:"is_decoder"`
}

func newBertConfig() *bertConfig {
	return &bertConfig{Vocab: 30522, Hidden: 768, Layers: 12, Heads: 12, Intermediate: 3072, Act: "gelu", Positions: 512,
		Types: 2, Eps: 1e-12, Dropout: 0.1, AttentionDropout: 0.1, PositionType: "absolute"}
}

func (c *bertConfig) Sizes() Sizes {
	return Sizes{Hidden: c.Hidden, Layers: c.Layers, Heads: c.Heads, HeadDim: headDim(0, c.Hidden, c.Heads), Vocab: c.Vocab, Positions: c.Positions, Types: c.Types}
}

// headDim is the size of a head: as configured, or the hidden size shared out; 0 where that does
// not come out even.
func headDim(configured, hidden, heads int) int {
	if configured > 0 || heads < 1 || hidden%heads != 0 {
		return configured
	}
	return hidden / heads
}

func bertForward(b *graph.Builder, c *bertConfig, in Inputs) Outputs {
	e := b.Scope("embeddings")
	x := b.Sum(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden),
		c.typeEmbeddings(e, in, c.Hidden),
		e.Embedding("position_embeddings.weight", in.Positions, c.Positions, c.Hidden))
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Hidden, c.Eps), c.Dropout)
	return bertBlocks(b.Scope("encoder"), c, x, in)
}

// typeEmbeddings looks the token types up; a table of one row is the same for all tokens.
func (c *bertConfig) typeEmbeddings(e *graph.Builder, in Inputs, size int) *graph.Value {
	if in.TokenTypes == nil {
		return e.Weight("token_type_embeddings.weight", c.Types, size)
	}
	return e.Embedding("token_type_embeddings.weight", in.TokenTypes, c.Types, size)
}

// check refuses what the class of transformers could be told, or other code's config of the same model_type says.
func (c *bertConfig) check(b *graph.Builder) {
	if c.Decoder || (c.PositionType != "" && c.PositionType != "absolute") {
		b.Errorf("config.json: is_decoder %t, position_embedding_type %q; only encoders with absolute positions are known", c.Decoder, c.PositionType)
	}
}

// bertBlocks are the transformer blocks under "layer.<i>", x being their input.
func bertBlocks(b *graph.Builder, c *bertConfig, x *graph.Value, in Inputs) Outputs {
	c.check(b)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("layer.%d", i)
		s := l.Scope("attention.self")
		a := s.Attention(
			s.Linear("query", x, c.Hidden, c.Hidden),
			s.Linear("key", x, c.Hidden, c.Hidden),
			s.Linear("value", x, c.Hidden, c.Hidden),
			graph.AttentionOptions{Heads: c.Heads, Mask: in.Mask.Padding(), Dropout: c.AttentionDropout})
		a = l.Dropout(l.Linear("attention.output.dense", a, c.Hidden, c.Hidden), c.Dropout)
		x = l.LayerNorm("attention.output.LayerNorm", l.Add(a, x), c.Hidden, c.Eps)
		x = c.feedForward(l, x)
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}

// feedForward is the second half of a block: two dense layers, and the norm of their sum with x.
func (c *bertConfig) feedForward(l *graph.Builder, x *graph.Value) *graph.Value {
	h := l.Activation(c.Act, l.Linear("intermediate.dense", x, c.Hidden, c.Intermediate))
	h = l.Dropout(l.Linear("output.dense", h, c.Intermediate, c.Hidden), c.Dropout)
	return l.LayerNorm("output.LayerNorm", l.Add(h, x), c.Hidden, c.Eps)
}
