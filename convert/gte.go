package convert

import (
	"encoding/json"

	"graft/graph"
)

// gte is a post-norm encoder with rotary positions and a gated feed-forward network (Zhang et al.
// 2024). Checkpoints keep the names of the original code, whichever library wrote them; that code
// calls itself "new", and its config is read as well.
var gte = &Arch{
	Name:       "gte",
	Doc:        "post-norm encoder with rotary positions and a gated feed-forward network (Zhang et al. 2024)",
	ModelTypes: []string{"gte", "new"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newGTEConfig() },
	Forward:    forward(gteForward),
}

type gteConfig struct {
	bertConfig
	ropeConfig
	HeadDim   int    `json:"head_dim"`
	PackedQKV bool   `json:"pack_qkv"` // query, key and value are one matrix
	NormType  string `json:"layer_norm_type"`
	LogScale  bool   `json:"logn_attention_scale"`
}

func newGTEConfig() *gteConfig {
	c := &gteConfig{bertConfig: *newBertConfig(), PackedQKV: true, NormType: "layer_norm"}
	c.Vocab, c.Positions, c.Types, c.Theta = 250048, 8192, 1, 160000
	c.AttentionDropout, c.PositionType = 0, "rope"
	return c
}

// UnmarshalJSON reads a config over the defaults of the code that its model_type names.
func (c *gteConfig) UnmarshalJSON(raw []byte) error {
	var head struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if head.ModelType == "new" {
		c.Vocab, c.Positions, c.Theta = 30528, 2048, 10000
	}
	type plain gteConfig
	return json.Unmarshal(raw, (*plain)(c))
}

func (c *gteConfig) Sizes() Sizes {
	s := c.bertConfig.Sizes()
	s.HeadDim = headDim(c.HeadDim, c.Hidden, c.Heads)
	return s
}

func gteForward(b *graph.Builder, c *gteConfig, in Inputs) Outputs {
	if c.PositionType != "rope" || c.LogScale || c.NormType != "layer_norm" && c.NormType != "rms_norm" {
		b.Errorf("config.json: position_embedding_type %q, logn_attention_scale %t, layer_norm_type %q; only rotary positions, plain scores, layer_norm and rms_norm are known",
			c.PositionType, c.LogScale, c.NormType)
	}
	r := newRope(b, c.ropeConfig, ropeDefaults{Theta: c.Theta, Context: c.Positions}, in.Positions, headDim(c.HeadDim, c.Hidden, c.Heads))
	e := b.Scope("embeddings")
	x := e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden)
	if c.Types > 0 {
		x = b.Add(x, c.typeEmbeddings(e, in, c.Hidden))
	}
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Hidden, c.Eps), c.Dropout)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("encoder.layer.%d", i)
		a := l.Dropout(c.attention(l.Scope("attention"), x, r, in.Mask.Padding()), c.Dropout)
		x = c.norm(l, "attn_ln", l.Add(a, x))

		m := l.Scope("mlp")
		n := int64(c.Intermediate)
		h := m.LinearNoBias("up_gate_proj", x, c.Hidden, 2*c.Intermediate) // [up | gate]
		h = m.Mul(m.Activation(c.Act, m.Slice(h, -1, n, 2*n)), m.Slice(h, -1, 0, n))
		h = l.Dropout(m.Linear("down_proj", m.Dropout(h, c.Dropout), c.Intermediate, c.Hidden), c.Dropout)
		x = c.norm(l, "mlp_ln", l.Add(h, x))
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}

func (c *gteConfig) attention(s *graph.Builder, x *graph.Value, r *rope, mask *graph.Value) *graph.Value {
	all := c.Heads * headDim(c.HeadDim, c.Hidden, c.Heads)
	var q, k, v *graph.Value
	if c.PackedQKV {
		n := int64(all)
		qkv := s.Linear("qkv_proj", x, c.Hidden, 3*all)
		q, k, v = s.Slice(qkv, -1, 0, n), s.Slice(qkv, -1, n, 2*n), s.Slice(qkv, -1, 2*n, 3*n)
	} else {
		q, k, v = s.Linear("q_proj", x, c.Hidden, all), s.Linear("k_proj", x, c.Hidden, all), s.Linear("v_proj", x, c.Hidden, all)
	}
	a := s.Attention(r.rotate(s, q, c.Heads), r.rotate(s, k, c.Heads), v,
		graph.AttentionOptions{Heads: c.Heads, Mask: mask, Dropout: c.AttentionDropout})
	return s.Linear("o_proj", a, all, c.Hidden)
}

// norm is that of a block; the embeddings have a LayerNorm whatever the blocks have.
func (c *gteConfig) norm(l *graph.Builder, name string, x *graph.Value) *graph.Value {
	if c.NormType == "rms_norm" {
		return l.RMSNorm(name, x, c.Hidden, c.Eps)
	}
	return l.LayerNorm(name, x, c.Hidden, c.Eps)
}
