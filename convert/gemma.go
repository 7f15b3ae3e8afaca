package convert

import (
	"math"

	"graft/graph"
)

// gemmaConfig is what the configs of gemma 1, 2 and 3 share; the first lacks query_pre_attn_scalar and attn_logit_softcapping.
type gemmaConfig struct {
	decoderConfig
	Activation  string   `json:"hidden_activation"`
	QueryScalar float64  `json:"query_pre_attn_scalar"`
	Softcap     *float64 `json:"attn_logit_softcapping"` // null: none
	BothWays    bool     `json:"use_bidirectional_attention"`
}

// softcap bounds the attention scores; 0: they are not bounded.
func (c *gemmaConfig) softcap() float64 {
	if c.Softcap == nil {
		return 0
	}
	return *c.Softcap
}

// sandwichNorms are those of gemma 2 and 3, on both sides of attention and of the feed-forward network.
var sandwichNorms = blockNorms{"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"}

// decoder is what all gemmas have in common: norms by 1 + gain, and embeddings times the root of their size.
func (c *gemmaConfig) decoder() decoder {
	return decoder{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias,
		norm: c.norm, embeddingScale: math.Sqrt(float64(c.Hidden))}
}

// queryScale is that of attention's scores in gemma 2 and 3.
func (c *gemmaConfig) queryScale() float64 { return 1 / math.Sqrt(c.QueryScalar) }

// norm is RMSNorm with the gain 1 + weight.
func (c *gemmaConfig) norm(b *graph.Builder, name string, x *graph.Value, n int) *graph.Value {
	l := b.Scope("%s", name)
	return l.RMSNormGain(x, l.Add(l.Weight("weight", n), l.Scalar(1)), c.Eps)
}
