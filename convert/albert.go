package convert

import "graft/graph"

// albert is a post-norm encoder whose layers share their weights, over embeddings of their own
// width (Lan et al. 2019). The graph has a node for each layer and one initializer for all of them.
var albert = &Arch{
	Name:       "albert",
	Doc:        "post-norm encoder whose layers share their weights (Lan et al. 2019)",
	ModelTypes: []string{"albert"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newAlbertConfig() },
	Forward:    forward(albertForward),
}

type albertConfig struct {
	bertConfig
	Embedding int `json:"embedding_size"`
	Groups    int `json:"num_hidden_groups"` // of layers that share their weights
	Inner     int `json:"inner_group_num"`   // blocks in a layer, each with weights of its own
}

func newAlbertConfig() *albertConfig {
	c := &albertConfig{bertConfig: *newBertConfig(), Embedding: 128, Groups: 1, Inner: 1}
	c.Vocab, c.Hidden, c.Heads, c.Intermediate, c.Act, c.Dropout, c.AttentionDropout = 30000, 4096, 64, 16384, "gelu_new", 0, 0
	return c
}

func albertForward(b *graph.Builder, c *albertConfig, in Inputs) Outputs {
	if c.Groups < 1 || c.Groups > c.Layers || c.Inner < 1 || c.Inner > c.Layers {
		b.Errorf("config.json: num_hidden_groups %d and inner_group_num %d with %d layers", c.Groups, c.Inner, c.Layers)
		return Outputs{}
	}
	c.check(b)
	e := b.Scope("embeddings")
	x := b.Sum(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Embedding),
		c.typeEmbeddings(e, in, c.Embedding),
		e.Embedding("position_embeddings.weight", in.Positions, c.Positions, c.Embedding))
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Embedding, c.Eps), c.Dropout)
	b = b.Scope("encoder")
	x = b.Linear("embedding_hidden_mapping_in", x, c.Embedding, c.Hidden)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		for inner := range c.Inner {
			x = c.block(b.Scope("albert_layer_groups.%d.albert_layers.%d", c.group(i), inner), x, in)
			out.Blocks = append(out.Blocks, x)
		}
	}
	out.Hidden = x
	return out
}

// group is the group of a layer, with the library's rounding.
func (c *albertConfig) group(layer int) int {
	return int(float64(layer) / (float64(c.Layers) / float64(c.Groups)))
}

func (c *albertConfig) block(l *graph.Builder, x *graph.Value, in Inputs) *graph.Value {
	s := l.Scope("attention")
	a := s.Attention(s.Linear("query", x, c.Hidden, c.Hidden), s.Linear("key", x, c.Hidden, c.Hidden), s.Linear("value", x, c.Hidden, c.Hidden),
		graph.AttentionOptions{Heads: c.Heads, Mask: in.Mask.Padding(), Dropout: c.AttentionDropout})
	a = s.Dropout(s.Linear("dense", a, c.Hidden, c.Hidden), c.Dropout)
	x = s.LayerNorm("LayerNorm", s.Add(x, a), c.Hidden, c.Eps)
	h := l.Activation(c.Act, l.Linear("ffn", x, c.Hidden, c.Intermediate))
	return l.LayerNorm("full_layer_layer_norm", l.Add(l.Linear("ffn_output", h, c.Intermediate, c.Hidden), x), c.Hidden, c.Eps)
}
