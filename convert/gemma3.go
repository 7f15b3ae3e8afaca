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
	ropes := c.ropes(b, in)
	attn := c.attention()
	attn.norm = func(s *graph.Builder, name string, x *graph.Value) *graph.Value {
		return c.norm(s, name, x, headDim(int(c.HeadDim), c.Hidden, c.Heads))
	}
	if c.softcap() != 0 {
		b.Errorf("config.json: attn_logit_softcapping %g is not known in gemma3", c.softcap())
	}
	return gemmaDecoder(b, &c.gemmaConfig, attn, in, func(i int) gemmaLayer { return gemmaLayer{ropes[c.local(i)], c.mask(in, i)} })
}

// ropes are the rotary positions of the global and the local (true) layers. In configs of
// transformers 4, rope_scaling is that of the global layers alone.
func (c *gemma3Config) ropes(b *graph.Builder, in Inputs) map[bool]*rope {
	local := ropeConfig{Theta: c.LocalTheta, Parameters: c.ropeConfig.Parameters}
	size := headDim(int(c.HeadDim), c.Hidden, c.Heads)
	return map[bool]*rope{
		false: newRope(b, c.ropeConfig, ropeDefaults{fullAttention, 1e6, c.Positions}, in.Positions, size),
		true:  newRope(b, local, ropeDefaults{slidingAttention, c.LocalTheta, c.Positions}, in.Positions, size),
	}
}
