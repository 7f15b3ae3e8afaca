package convert

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"graft/graph"
)

// debertaV2 is a post-norm encoder whose scores have parts for content and for distance (He et al.
// 2020, section 3; DeBERTaV3 of He et al. 2021 has the same graph).
var debertaV2 = &Arch{
	Name:       "deberta-v2",
	Doc:        "post-norm encoder with disentangled attention, DeBERTa v2 and v3 (He et al. 2020, 2021)",
	ModelTypes: []string{"deberta-v2"},
	Anchor:     "embeddings.word_embeddings.weight",
	Config:     func() Config { return newDebertaConfig() },
	Forward:    forward(debertaForward),
}

type debertaConfig struct {
	bertConfig
	Embedding  int            `json:"embedding_size"`         // 0: hidden_size
	Absolute   bool           `json:"position_biased_input"`  // add position embeddings to the input
	Relative   bool           `json:"relative_attention"`     // scores have parts for distance
	Parts      attentionParts `json:"pos_att_type"`           // which: c2p, p2c
	Buckets    int            `json:"position_buckets"`       // on one side; below 1: each distance has its own
	MaxRel     int            `json:"max_relative_positions"` // below 1: max_position_embeddings
	ShareKey   bool           `json:"share_att_key"`          // distances are projected as content is
	NormRel    string         `json:"norm_rel_ebd"`           // "none" or "layer_norm", several joined by "|"
	ConvKernel int            `json:"conv_kernel_size"`       // of the convolution beside the first block; 0: none
}

// attentionParts are the parts of the scores, as a list or joined by "|".
type attentionParts []string

// UnmarshalJSON reads both spellings.
func (p *attentionParts) UnmarshalJSON(raw []byte) error {
	var joined string
	if json.Unmarshal(raw, &joined) != nil {
		return json.Unmarshal(raw, (*[]string)(p))
	}
	*p = nil
	for part := range strings.SplitSeq(strings.ToLower(joined), "|") {
		*p = append(*p, strings.TrimSpace(part))
	}
	return nil
}

func newDebertaConfig() *debertaConfig {
	c := &debertaConfig{bertConfig: *newBertConfig(), Absolute: true, Buckets: -1, MaxRel: -1, NormRel: "none"}
	c.Vocab, c.Hidden, c.Layers, c.Heads, c.Intermediate, c.Types, c.Eps = 128100, 1536, 24, 24, 6144, 0, 1e-7
	return c
}

func debertaForward(b *graph.Builder, c *debertaConfig, in Inputs) Outputs {
	if c.ConvKernel > 0 {
		b.Errorf("config.json: conv_kernel_size %d: the convolution beside the first block, which the xlarge models of version 2 have, is not known", c.ConvKernel)
	}
	x := c.embeddings(b, in)
	b = b.Scope("encoder")
	var r *relativeKeys
	if c.Relative {
		r = c.relativeKeys(b, in)
	}
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("layer.%d", i)
		a := l.Dropout(l.Linear("attention.output.dense", c.attention(l.Scope("attention.self"), x, r, in), c.Hidden, c.Hidden), c.Dropout)
		x = l.LayerNorm("attention.output.LayerNorm", l.Add(a, x), c.Hidden, c.Eps)
		x = c.feedForward(l, x)
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}

func (c *debertaConfig) embeddings(b *graph.Builder, in Inputs) *graph.Value {
	size := c.Embedding
	if size == 0 {
		size = c.Hidden
	}
	e := b.Scope("embeddings")
	x := e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, size)
	if c.Absolute {
		x = b.Add(x, e.Embedding("position_embeddings.weight", in.Positions, c.Positions, size))
	}
	if c.Types > 0 {
		x = b.Add(x, c.typeEmbeddings(e, in, size))
	}
	if size != c.Hidden {
		x = e.LinearNoBias("embed_proj", x, size, c.Hidden)
	}
	return b.Dropout(e.LayerNorm("LayerNorm", x, c.Hidden, c.Eps), c.Dropout)
}

// attention adds to the scores of content those of content to position (c2p) and of position to content (p2c).
func (c *debertaConfig) attention(s *graph.Builder, x *graph.Value, r *relativeKeys, in Inputs) *graph.Value {
	q, k := s.Linear("query_proj", x, c.Hidden, c.Hidden), s.Linear("key_proj", x, c.Hidden, c.Hidden)
	keyName, queryName := "pos_key_proj", "pos_query_proj"
	if c.ShareKey {
		keyName, queryName = "key_proj", "query_proj"
	}
	var parts []*graph.Value
	if r != nil {
		table := s.Dropout(r.table, c.Dropout)
		if c.has("c2p") {
			parts = append(parts, r.scores(s, q, s.Linear(keyName, table, c.Hidden, c.Hidden), r.ahead))
		}
		if c.has("p2c") {
			part := r.scores(s, k, s.Linear(queryName, table, c.Hidden, c.Hidden), r.behind)
			parts = append(parts, s.Transpose(part, 0, 1, 3, 2))
		}
	}
	mask := in.Mask.Padding()
	if len(parts) > 0 {
		mask = s.Where(mask, s.Sum(parts...), s.Scalar(-1e9))
	}
	return s.Attention(q, k, s.Linear("value_proj", x, c.Hidden, c.Hidden),
		graph.AttentionOptions{Heads: c.Heads, Scale: c.scale(), Mask: mask, Dropout: c.AttentionDropout})
}

// has reports whether the scores have a part.
func (c *debertaConfig) has(part string) bool { return slices.Contains(c.Parts, part) }

// scale is one over the root of the size of a head and of how many parts the scores have.
func (c *debertaConfig) scale() float64 {
	parts := 1
	for _, part := range []string{"c2p", "p2c"} {
		if c.has(part) {
			parts++
		}
	}
	return 1 / math.Sqrt(float64(parts*headDim(0, c.Hidden, c.Heads)))
}
