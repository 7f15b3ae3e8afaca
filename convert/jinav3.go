package convert

import (
	"encoding/json"

	"graft/graph"
)

// jinaV3 is XLM-RoBERTa with rotary positions (Sturua et al. 2024). Checkpoints keep the names of the
// original code, whichever library wrote them; that code calls itself xlm-roberta, and keeps adapters for tasks beside
// the weights, which are left out: the model is then that of no task.
var jinaV3 = &Arch{
	Name:       "jina-embeddings-v3",
	Doc:        "post-norm encoder with rotary positions, jina-embeddings-v3 without its adapters (Sturua et al. 2024)",
	ModelTypes: []string{"jina_embeddings_v3"},
	Code:       map[string]string{"xlm-roberta": "rotary"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newJinaV3Config() },
	Forward:    forward(jinaV3Forward),
}

type jinaV3Config struct {
	bertConfig
	ropeConfig
	HeadDim int     `json:"head_dim"`
	Base    float64 `json:"rotary_emb_base"` // the original code's rope_theta
}

func newJinaV3Config() *jinaV3Config {
	c := &jinaV3Config{bertConfig: *newBertConfig()}
	c.Vocab, c.Hidden, c.Layers, c.Heads, c.Intermediate, c.Positions, c.Types, c.Eps = 250002, 1024, 24, 16, 4096, 8194, 1, 1e-5
	c.PositionType = "rotary"
	return c
}

// UnmarshalJSON reads the library's config and that of the original code.
func (c *jinaV3Config) UnmarshalJSON(raw []byte) error {
	type plain jinaV3Config
	if err := json.Unmarshal(raw, (*plain)(c)); err != nil {
		return err
	}
	var head struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if head.ModelType == "xlm-roberta" {
		c.Theta = orElse(c.Base, 10000)
	}
	return nil
}

func (c *jinaV3Config) Sizes() Sizes {
	s := c.bertConfig.Sizes()
	s.HeadDim = headDim(c.HeadDim, c.Hidden, c.Heads)
	return s
}

func jinaV3Forward(b *graph.Builder, c *jinaV3Config, in Inputs) Outputs {
	size := headDim(c.HeadDim, c.Hidden, c.Heads)
	n := int64(c.Heads * size)
	r := newRope(b, c.ropeConfig, ropeDefaults{Theta: 20000, Context: c.Positions}, in.Positions, size)
	e := b.Scope("embeddings")
	x := b.Add(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden), c.typeEmbeddings(e, in, c.Hidden))
	x = b.Dropout(b.LayerNorm("emb_ln", x, c.Hidden, c.Eps), c.Dropout)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("encoder.layers.%d", i)
		s := l.Scope("mixer")
		qkv := s.Linear("Wqkv", x, c.Hidden, 3*c.Heads*size)
		q, k, v := s.Slice(qkv, -1, 0, n), s.Slice(qkv, -1, n, 2*n), s.Slice(qkv, -1, 2*n, 3*n)
		a := s.Attention(r.rotate(s, q, c.Heads), r.rotate(s, k, c.Heads), v,
			graph.AttentionOptions{Heads: c.Heads, Mask: in.Mask.Padding(), Dropout: c.AttentionDropout})
		a = l.Dropout(s.Linear("out_proj", a, c.Heads*size, c.Hidden), c.Dropout)
		x = l.LayerNorm("norm1", l.Add(a, x), c.Hidden, c.Eps)

		m := l.Scope("mlp")
		h := m.Activation(c.Act, m.Linear("fc1", x, c.Hidden, c.Intermediate))
		h = l.Dropout(m.Linear("fc2", h, c.Intermediate, c.Hidden), c.Dropout)
		x = l.LayerNorm("norm2", l.Add(h, x), c.Hidden, c.Eps)
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}
