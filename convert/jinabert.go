package convert

import (
	"math"

	"graft/graph"
)

// jinaBert is BERT with a bias by distance in place of positions, ALiBi's (Press et al. 2021) to both sides, and
// a gated feed-forward network (Günther et al. 2023). Its published code, which calls itself bert, has several versions; a
// checkpoint's tensors tell which: queries and keys may be normalized, attention may be added twice.
var jinaBert = &Arch{
	Name:    "jina-bert",
	Doc:     "post-norm encoder with linear biases by distance, jina-embeddings-v2 (Günther et al. 2023)",
	Code:    map[string]string{"bert": "alibi"},
	Anchor:  "embeddings.word_embeddings.weight",
	Config:  func() Config { return &jinaBertConfig{*newBertConfig(), "original"} },
	Forward: forward(jinaBertForward),
}

type jinaBertConfig struct {
	bertConfig
	FeedForward string `json:"feed_forward_type"`
}

func jinaBertForward(b *graph.Builder, c *jinaBertConfig, in Inputs) Outputs {
	if c.Decoder || c.FeedForward != "geglu" && c.FeedForward != "original" {
		b.Errorf("config.json: is_decoder %t, feed_forward_type %q; only encoders with geglu and original are known", c.Decoder, c.FeedForward)
	}
	e := b.Scope("embeddings")
	x := b.Add(e.Embedding("word_embeddings.weight", in.IDs, c.Vocab, c.Hidden), c.typeEmbeddings(e, in, c.Hidden))
	x = b.Dropout(e.LayerNorm("LayerNorm", x, c.Hidden, c.Eps), c.Dropout)
	bias := alibi(b.Scope("alibi"), c.Heads, in.Mask)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("encoder.layer.%d", i)
		a := l.Dropout(l.Linear("attention.output.dense", c.attention(l.Scope("attention.self"), x, bias), c.Hidden, c.Hidden), c.Dropout)
		a = l.LayerNorm("attention.output.LayerNorm", l.Add(a, x), c.Hidden, c.Eps)
		if l.HasWeight("layer_norm_1.weight") {
			a = l.LayerNorm("layer_norm_1", l.Add(a, x), c.Hidden, c.Eps)
		}
		x = c.feedForward(l, a)
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = x
	return out
}

func (c *jinaBertConfig) attention(s *graph.Builder, x, bias *graph.Value) *graph.Value {
	q, k := s.Linear("query", x, c.Hidden, c.Hidden), s.Linear("key", x, c.Hidden, c.Hidden)
	if s.HasWeight("layer_norm_q.weight") {
		q, k = s.LayerNorm("layer_norm_q", q, c.Hidden, c.Eps), s.LayerNorm("layer_norm_k", k, c.Hidden, c.Eps)
	}
	return s.Attention(q, k, s.Linear("value", x, c.Hidden, c.Hidden),
		graph.AttentionOptions{Heads: c.Heads, Mask: bias, Dropout: c.AttentionDropout})
}

// feedForward is the rest of a block, its norm included. The versions name the halves of the gated matrix in either order.
func (c *jinaBertConfig) feedForward(l *graph.Builder, x *graph.Value) *graph.Value {
	if c.FeedForward == "original" {
		return c.bertConfig.feedForward(l, x)
	}
	m, n := l.Scope("mlp"), int64(c.Intermediate)
	if m.HasWeight("up_gated_layer.weight") {
		h := m.LinearNoBias("up_gated_layer", x, c.Hidden, 2*c.Intermediate) // [up | gate]
		h = m.Dropout(m.Mul(m.Slice(h, -1, 0, n), m.Activation("gelu", m.Slice(h, -1, n, 2*n))), c.Dropout)
		return l.LayerNorm("layer_norm_2", l.Add(m.Linear("down_layer", h, c.Intermediate, c.Hidden), x), c.Hidden, c.Eps)
	}
	h := m.LinearNoBias("gated_layers", x, c.Hidden, 2*c.Intermediate) // [gate | up]
	h = m.Dropout(m.Mul(m.Activation("gelu", m.Slice(h, -1, 0, n)), m.Slice(h, -1, n, 2*n)), c.Dropout)
	return m.LayerNorm("layernorm", m.Add(m.Linear("wo", h, c.Intermediate, c.Hidden), x), c.Hidden, c.Eps)
}

// alibi is the bias of each head, its slope times the distance to either side, and shut where the key is padding:
// [batch, heads, sequence, sequence].
func alibi(b *graph.Builder, heads int, mask *Masks) *graph.Value {
	slopes := b.Const(graph.NewTensor("slopes", alibiSlopes(heads), int64(heads), 1, 1))
	away := b.Cast(b.Op("Abs", []*graph.Value{mask.Offset()}), graph.Float)
	return b.Where(mask.Padding(), b.Mul(slopes, away), b.Scalar(-1e9))
}

// alibiSlopes are what a place's distance costs in each head: -2^(-8i/n) for i from 1 to n where the number of heads n is
// a power of two; else those of the power below, and the rest every other one of twice that power.
func alibiSlopes(heads int) []float32 {
	power := 1
	for 2*power <= heads {
		power *= 2
	}
	slope := func(i, of int) float32 { return -float32(math.Exp2(-8 * float64(i) / float64(of))) }
	slopes := make([]float32, heads)
	for i := range slopes {
		if i < power {
			slopes[i] = slope(i+1, power)
		} else {
			slopes[i] = slope(2*(i-power)+1, 2*power)
		}
	}
	return slopes
}
