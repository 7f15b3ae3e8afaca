package convert

import "graft/graph"

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
	gemmaConfig
	LocalTheta float64 `json:"rope_local_base_freq"` // transformers 4, as is the next
	Pattern    int     `json:"sliding_window_pattern"`
}

func newGemma3Config() *gemma3Config {
	return &gemma3Config{gemmaConfig: gemmaConfig{decoderConfig: decoderConfig{Vocab: 262208, Hidden: 2304, Layers: 26, Heads: 8, KVHeads: 4, HeadDim: 256,
		Intermediate: 9216, Positions: 131072, Eps: 1e-6, SlidingWindow: 4096}, Activation: "gelu_pytorch_tanh", QueryScalar: 256}, LocalTheta: 10000, Pattern: 6}
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
	if c.BothWays || in.Bidirectional {
		if c.local(layer) && c.SlidingWindow > 0 {
			return in.Mask.Window(int(c.SlidingWindow) / 2)
		}
		return in.Mask.Padding()
	}
	return c.decoderConfig.mask(in, c.local(layer))
}

func gemma3Forward(b *graph.Builder, c *gemma3Config, in Inputs) Outputs {
	if c.softcap() != 0 {
		b.Errorf("config.json: attn_logit_softcapping %g is not known in gemma3", c.softcap())
	}
	ropes := c.ropes(b, in)
	d := c.decoder()
	d.norms, d.act, d.scale, d.qkNorm = sandwichNorms, c.Activation, c.queryScale(), eachHead
	d.rope = func(layer int) *rope { return ropes[c.local(layer)] }
	d.mask = func(layer int) *graph.Value { return c.mask(in, layer) }
	return d.forward(b, in)
}

// ropes are the rotary positions of the global and the local (true) layers. In configs of
// transformers 4, rope_scaling is that of the global layers alone.
func (c *gemma3Config) ropes(b *graph.Builder, in Inputs) map[bool]*rope {
	local := ropeConfig{Theta: c.LocalTheta, Parameters: c.ropeConfig.Parameters}
	return map[bool]*rope{
		false: c.newRope(b, in, ropeDefaults{LayerType: fullAttention, Theta: 1e6}),
		true:  newRope(b, local, ropeDefaults{LayerType: slidingAttention, Theta: c.LocalTheta, Context: c.Positions}, in.Positions, c.headSize()),
	}
}
