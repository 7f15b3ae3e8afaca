package convert

import "graft/graph"

// modernbert is a pre-norm encoder with rotary positions, gated feed-forward and mostly local
// attention (Warner et al. 2024).
var modernbert = &Arch{
	Name:       "modernbert",
	Doc:        "pre-norm encoder with rotary positions and local attention (Warner et al. 2024)",
	ModelTypes: []string{"modernbert"},
	Anchor:     "embeddings.tok_embeddings.weight",
	Config:     func() Config { return newModernbertConfig() },
	Forward:    forward(modernbertForward),
}

type modernbertConfig struct {
	ropeConfig
	Vocab            int      `json:"vocab_size"`
	Hidden           int      `json:"hidden_size"`
	Layers           int      `json:"num_hidden_layers"`
	Heads            int      `json:"num_attention_heads"`
	Intermediate     int      `json:"intermediate_size"`
	Act              string   `json:"hidden_activation"`
	Positions        int      `json:"max_position_embeddings"`
	Eps              float64  `json:"norm_eps"`
	NormBias         bool     `json:"norm_bias"`
	AttentionBias    bool     `json:"attention_bias"`
	MLPBias          bool     `json:"mlp_bias"`
	LayerTypes       []string `json:"layer_types"`
	GlobalEvery      int      `json:"global_attn_every_n_layers"` // transformers 4, as are the next two
	GlobalTheta      float64  `json:"global_rope_theta"`
	LocalTheta       float64  `json:"local_rope_theta"`
	LocalAttention   int      `json:"local_attention"` // width of the window, both sides together
	AttentionDropout float64  `json:"attention_dropout"`
	EmbeddingDropout float64  `json:"embedding_dropout"`
	MLPDropout       float64  `json:"mlp_dropout"`
}

func newModernbertConfig() *modernbertConfig {
	return &modernbertConfig{Vocab: 50368, Hidden: 768, Layers: 22, Heads: 12, Intermediate: 1152, Act: "gelu", Positions: 8192,
		Eps: 1e-5, GlobalEvery: 3, GlobalTheta: 160000, LocalTheta: 10000, LocalAttention: 128}
}

func (c *modernbertConfig) Sizes() Sizes {
	return Sizes{Hidden: c.Hidden, Layers: c.Layers, Heads: c.Heads, HeadDim: headDim(0, c.Hidden, c.Heads), Vocab: c.Vocab, Positions: c.Positions}
}

// local reports whether layer i attends within the window only.
func (c *modernbertConfig) local(i int) bool {
	if i < len(c.LayerTypes) {
		return c.LayerTypes[i] == slidingAttention
	}
	return c.GlobalEvery > 0 && i%c.GlobalEvery != 0
}

func modernbertForward(b *graph.Builder, c *modernbertConfig, in Inputs) Outputs {
	size := headDim(0, c.Hidden, c.Heads)
	ropes := map[bool]*rope{ // by local
		false: newRope(b, c.ropeConfig, ropeDefaults{LayerType: fullAttention, Theta: c.GlobalTheta, Context: c.Positions}, in.Positions, size),
		true:  newRope(b, c.ropeConfig, ropeDefaults{LayerType: slidingAttention, Theta: c.LocalTheta, Context: c.Positions}, in.Positions, size),
	}
	e := b.Scope("embeddings")
	x := e.Embedding("tok_embeddings.weight", in.IDs, c.Vocab, c.Hidden)
	x = b.Dropout(c.norm(e, "norm", x), c.EmbeddingDropout)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("layers.%d", i)
		a := x
		if i > 0 { // the embeddings are normalized already
			a = c.norm(l, "attn_norm", x)
		}
		x = l.Add(x, c.attention(l.Scope("attn"), a, ropes[c.local(i)], c.mask(in, i)))

		m := l.Scope("mlp")
		h := linear(m, "Wi", c.norm(l, "mlp_norm", x), c.Hidden, 2*c.Intermediate, c.MLPBias) // [value | gate]
		n := int64(c.Intermediate)
		h = m.Mul(m.Activation(c.Act, m.Slice(h, -1, 0, n)), m.Slice(h, -1, n, 2*n))
		x = l.Add(x, linear(m, "Wo", m.Dropout(h, c.MLPDropout), c.Intermediate, c.Hidden, c.MLPBias))
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = c.norm(b, "final_norm", x)
	return out
}

func (c *modernbertConfig) mask(in Inputs, layer int) *graph.Value {
	if c.local(layer) {
		return in.Mask.Window(c.LocalAttention / 2)
	}
	return in.Mask.Padding()
}

func (c *modernbertConfig) attention(s *graph.Builder, x *graph.Value, r *rope, mask *graph.Value) *graph.Value {
	qkv := linear(s, "Wqkv", x, c.Hidden, 3*c.Hidden, c.AttentionBias)
	n := int64(c.Hidden)
	q, k, v := s.Slice(qkv, -1, 0, n), s.Slice(qkv, -1, n, 2*n), s.Slice(qkv, -1, 2*n, 3*n)
	a := s.Attention(r.rotate(s, q, c.Heads), r.rotate(s, k, c.Heads), v,
		graph.AttentionOptions{Heads: c.Heads, Mask: mask, Dropout: c.AttentionDropout})
	return linear(s, "Wo", a, c.Hidden, c.Hidden, c.AttentionBias)
}

func (c *modernbertConfig) norm(b *graph.Builder, name string, x *graph.Value) *graph.Value {
	if c.NormBias {
		return b.LayerNorm(name, x, c.Hidden, c.Eps)
	}
	return b.LayerNormNoBias(name, x, c.Hidden, c.Eps)
}

// The values of layer_types in config.json.
const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// linear is a projection with or without bias, as the config says.
func linear(b *graph.Builder, name string, x *graph.Value, in, out int, bias bool) *graph.Value {
	if bias {
		return b.Linear(name, x, in, out)
	}
	return b.LinearNoBias(name, x, in, out)
}
