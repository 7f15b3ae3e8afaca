package convert

import (
	"encoding/json"

	"graft/graph"
)

// nomicBert is a post-norm encoder with rotary positions and a SwiGLU feed-forward (Nussbaum et
// al. 2024). Checkpoints keep the names of the original code, whichever library wrote them.
var nomicBert = &Arch{
	Name:       "nomic-bert",
	Doc:        "post-norm encoder with rotary positions and SwiGLU (Nussbaum et al. 2024)",
	ModelTypes: []string{"nomic_bert"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newNomicConfig() },
	Forward:    forward(nomicForward),
}

// nomicConfig is the config of transformers 5; UnmarshalJSON also reads the original one.
type nomicConfig struct {
	bertConfig
	ropeConfig
	HeadDim int  `json:"head_dim"`
	QKVBias bool `json:"qkv_proj_bias"`
	MLPBias bool `json:"mlp_fc1_bias"`
}

func newNomicConfig() *nomicConfig {
	c := &nomicConfig{bertConfig: *newBertConfig()}
	c.Act, c.Positions, c.Dropout, c.AttentionDropout, c.Theta = "silu", 2048, 0, 0, 1000
	return c
}

func (c *nomicConfig) Sizes() Sizes {
	s := c.bertConfig.Sizes()
	s.HeadDim = headDim(c.HeadDim, c.Hidden, c.Heads)
	return s
}

// UnmarshalJSON reads both spellings of the config: the library's, and the original one with
// GPT-2's names (n_embd, n_head, …; activation_function "swiglu" means a silu gate).
func (c *nomicConfig) UnmarshalJSON(raw []byte) error {
	type plain nomicConfig
	if err := json.Unmarshal(raw, (*plain)(c)); err != nil {
		return err
	}
	old := struct {
		Hidden       *int     `json:"n_embd"`
		Heads        *int     `json:"n_head"`
		Layers       *int     `json:"n_layer"`
		Intermediate *int     `json:"n_inner"`
		Positions    *int     `json:"n_positions"`
		Eps          *float64 `json:"layer_norm_epsilon"`
		Theta        *float64 `json:"rotary_emb_base"`
		Act          string   `json:"activation_function"`
	}{&c.Hidden, &c.Heads, &c.Layers, &c.Intermediate, &c.Positions, &c.Eps, &c.Theta, ""}
	if err := json.Unmarshal(raw, &old); err != nil {
		return err
	}
	switch old.Act {
	case "":
	case "swiglu":
		c.Act = "silu"
	case "geglu":
		c.Act = "gelu"
	case "glu":
		c.Act = "sigmoid"
	default:
		c.Act = old.Act
	}
	return nil
}

func nomicForward(b *graph.Builder, c *nomicConfig, in Inputs) Outputs {
	size := headDim(c.HeadDim, c.Hidden, c.Heads)
	r := newRope(b, c.ropeConfig, ropeDefaults{Theta: 1000, Context: c.Positions}, in.Positions, size)
	e := b.Scope("embeddings")
	x := e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden)
	if c.Types > 0 {
		x = b.Add(x, c.typeEmbeddings(e, in, c.Hidden))
	}
	x = b.Dropout(b.LayerNorm("emb_ln", x, c.Hidden, c.Eps), c.Dropout)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("encoder.layers.%d", i)
		s := l.Scope("attn")
		qkv := linear(s, "Wqkv", x, c.Hidden, 3*c.Heads*size, c.QKVBias)
		n := int64(c.Heads * size)
		q, k, v := s.Slice(qkv, -1, 0, n), s.Slice(qkv, -1, n, 2*n), s.Slice(qkv, -1, 2*n, 3*n)
		a := s.Attention(r.rotate(s, q, c.Heads), r.rotate(s, k, c.Heads), v,
			graph.AttentionOptions{Heads: c.Heads, Mask: in.Mask.Padding(), Dropout: c.AttentionDropout})
		a = l.Dropout(linear(s, "out_proj", a, c.Heads*size, c.Hidden, c.QKVBias), c.Dropout)
		x = l.LayerNorm("norm1", l.Add(a, x), c.Hidden, c.Eps)

		m := l.Scope("mlp")
		up := linear(m, "fc11", x, c.Hidden, c.Intermediate, c.MLPBias)
		gate := m.Activation(c.Act, linear(m, "fc12", x, c.Hidden, c.Intermediate, c.MLPBias))
		h := l.Dropout(linear(m, "fc2", m.Mul(up, gate), c.Intermediate, c.Hidden, c.MLPBias), c.Dropout)
		x = l.LayerNorm("norm2", l.Add(h, x), c.Hidden, c.Eps)
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}
