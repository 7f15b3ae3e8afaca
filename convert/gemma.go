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

// gemmaLayer is what differs from layer to layer.
type gemmaLayer struct {
	rope *rope
	mask *graph.Value
}

// gemmaDecoder is the transformer of gemma 2 and 3: embeddings times the root of their size, and
// blocks with a norm on both sides of each sublayer.
func gemmaDecoder(b *graph.Builder, c *gemmaConfig, attn *decoderAttention, in Inputs, layer func(i int) gemmaLayer) Outputs {
	x := b.Embedding("embed_tokens.weight", in.IDs, c.Vocab, c.Hidden)
	x = b.Mul(x, b.Scalar(float32(math.Sqrt(float64(c.Hidden)))))
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l, own := b.Scope("layers.%d", i), layer(i)
		h := c.norm(l, "input_layernorm", x, c.Hidden)
		h = attn.apply(l.Scope("self_attn"), h, own.rope, own.mask)
		x = l.Add(x, c.norm(l, "post_attention_layernorm", h, c.Hidden))
		h = c.norm(l, "pre_feedforward_layernorm", x, c.Hidden)
		h = c.gatedMLP(l.Scope("mlp"), h, c.Activation)
		x = l.Add(x, c.norm(l, "post_feedforward_layernorm", h, c.Hidden))
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = c.norm(b, "norm", x, c.Hidden)
	return out
}

// attention is that of all layers.
func (c *gemmaConfig) attention() *decoderAttention {
	return &decoderAttention{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias,
		scale: 1 / math.Sqrt(c.QueryScalar)}
}

// norm is RMSNorm with the gain 1 + weight.
func (c *gemmaConfig) norm(b *graph.Builder, name string, x *graph.Value, n int) *graph.Value {
	l := b.Scope("%s", name)
	return l.RMSNormGain(x, l.Add(l.Weight("weight", n), l.Scalar(1)), c.Eps)
}
