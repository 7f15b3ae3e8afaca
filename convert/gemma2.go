package convert

import "graft/graph"

// gemma2 is the decoder of Gemma 2 (Gemma team 2024): four norms a block, attention scores that a
// tanh bounds, and every other layer, the first included, within the sliding window. The bound of the language model's
// logits (final_logit_softcapping) belongs to its head, which an embedding model does not have.
var gemma2 = &Arch{
	Name:       "gemma2",
	Doc:        "decoder with norms on both sides of each sublayer, bounded attention scores and alternating local layers (Gemma team 2024)",
	ModelTypes: []string{"gemma2"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newGemma2Config() },
	Forward:    forward(gemma2Forward),
}

type gemma2Config struct{ gemmaConfig }

func newGemma2Config() *gemma2Config {
	softcap := 50.0
	return &gemma2Config{gemmaConfig{decoderConfig: decoderConfig{Vocab: 256000, Hidden: 2304, Layers: 26, Heads: 8, KVHeads: 4, HeadDim: 256,
		Intermediate: 9216, Positions: 8192, Eps: 1e-6, SlidingWindow: 4096}, Activation: "gelu_pytorch_tanh", QueryScalar: 256, Softcap: &softcap}}
}

// local reports whether a layer keeps to the sliding window.
func (c *gemma2Config) local(layer int) bool {
	if layer < len(c.LayerTypes) {
		return c.LayerTypes[layer] == slidingAttention
	}
	return layer%2 == 0
}

func gemma2Forward(b *graph.Builder, c *gemma2Config, in Inputs) Outputs {
	if c.BothWays && !in.Bidirectional {
		b.Errorf("config.json: use_bidirectional_attention is not known in gemma2: what it means depends on the library's attention kernel")
	}
	d := c.decoder()
	d.norms, d.act, d.scale, d.softcap = sandwichNorms, c.Activation, c.queryScale(), c.softcap()
	d.mask = func(layer int) *graph.Value { return c.mask(in, c.local(layer)) }
	return d.forward(b, in)
}
