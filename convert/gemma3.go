package convert

import (
	"math"

	"graft/graph"
)

// gemma3 is the text decoder of Gemma 3 (Gemma team 2025): four norms a block, normalized heads,
// and window layers with rotary positions of their own.
var gemma3 = &Arch{
	Name:       "gemma3-text",
	Doc:        "decoder with norms on both sides of each sublayer and local layers (Gemma team 2025)",
	ModelTypes: []string{"gemma3_text"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newGemma3Config() },
	Forward:    forward(gemma3Forward),
}

type gemma3Config struct {
	decoderConfig
	Activation  string  `json:"hidden_activation"`
	QueryScalar float64 `json:"query_pre_attn_scalar"`
	Softcap     float64 `json:"attn_logit_softcapping"`
	LocalTheta  float64 `json:"rope_local_base_freq"` // transformers 4, as is the next
	Pattern     int     `json:"sliding_window_pattern"`
	BothWays    bool    `json:"use_bidirectional_attention"`
}

func newGemma3Config() *gemma3Config {
	return &gemma3Config{decoderConfig: decoderConfig{Vocab: 262208, Hidden: 2304, Layers: 26, Heads: 8, KVHeads: 4, HeadDim: 256, Intermediate: 9216,
		Positions: 131072, Eps: 1e-6, SlidingWindow: 4096}, Activation: "gelu_pytorch_tanh", QueryScalar: 256, LocalTheta: 10000, Pattern: 6}
}

// local reports whether a layer keeps to the sliding window.
func (c *gemma3Config) local(layer int) bool {
	if layer < len(c.LayerTypes) {
		return c.LayerTypes[layer] == slidingAttention
	}
	return c.Pattern > 0 && (layer+1)%c.Pattern != 0
}

// mask is a layer's. Models that look both ways keep their window, half of it on each side.
func (c *gemma3Config) mask(in Inputs, layer int) *graph.Value {
	if c.BothWays || c.bidirectional(in) {
		if c.local(layer) && c.SlidingWindow > 0 {
			return in.Mask.Window(c.SlidingWindow / 2)
		}
		return in.Mask.Padding()
	}
	return c.decoderConfig.mask(in, c.local(layer))
}

func gemma3Forward(b *graph.Builder, c *gemma3Config, in Inputs) Outputs {
	ropes := c.ropes(b, in)
	attn := &decoderAttention{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias, scale: 1 / math.Sqrt(c.QueryScalar),
		norm: func(s *graph.Builder, name string, x *graph.Value) *graph.Value {
			return c.norm(s, name, x, headDim(c.HeadDim, c.Hidden, c.Heads))
		}}
	if c.Softcap != 0 {
		b.Errorf("config.json: attn_logit_softcapping %g is not known in gemma3", c.Softcap)
	}
	x := b.Embedding("embed_tokens.weight", in.IDs, c.Vocab, c.Hidden)
	x = b.Mul(x, b.Scalar(float32(math.Sqrt(float64(c.Hidden)))))
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("layers.%d", i)
		h := c.norm(l, "input_layernorm", x, c.Hidden)
		h = attn.apply(l.Scope("self_attn"), h, ropes[c.local(i)], c.mask(in, i))
		x = l.Add(x, c.norm(l, "post_attention_layernorm", h, c.Hidden))
		h = c.norm(l, "pre_feedforward_layernorm", x, c.Hidden)
		h = c.gatedMLP(l.Scope("mlp"), h, c.Activation)
		x = l.Add(x, c.norm(l, "post_feedforward_layernorm", h, c.Hidden))
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = c.norm(b, "norm", x, c.Hidden)
	return out
}

// ropes are the rotary positions of the global and the local (true) layers. In configs of
// transformers 4, rope_scaling is that of the global layers alone.
func (c *gemma3Config) ropes(b *graph.Builder, in Inputs) map[bool]*rope {
	local := ropeConfig{Theta: c.LocalTheta, Parameters: c.ropeConfig.Parameters}
	size := headDim(c.HeadDim, c.Hidden, c.Heads)
	return map[bool]*rope{
		false: newRope(b, c.ropeConfig, fullAttention, 1e6, in.Positions, size),
		true:  newRope(b, local, slidingAttention, c.LocalTheta, in.Positions, size),
	}
}

// norm is RMSNorm with the gain 1 + weight.
func (c *gemma3Config) norm(b *graph.Builder, name string, x *graph.Value, n int) *graph.Value {
	l := b.Scope("%s", name)
	return l.RMSNormGain(x, l.Add(l.Weight("weight", n), l.Scalar(1)), c.Eps)
}
