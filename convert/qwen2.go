package convert

import "graft/graph"

// qwen2 is llama with biases on query, key and value (Yang et al. 2024).
var qwen2 = &Arch{
	Name:       "qwen2",
	Doc:        "llama with biases on query, key and value (Yang et al. 2024)",
	ModelTypes: []string{"qwen2"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newQwen2Config() },
	Forward:    forward(qwen2Forward),
}

type qwen2Config struct{ decoderConfig }

func newQwen2Config() *qwen2Config {
	return &qwen2Config{decoderConfig{Vocab: 151936, Hidden: 4096, Layers: 32, Heads: 32, KVHeads: 32, Intermediate: 22016, Act: "silu",
		Positions: 32768, Eps: 1e-6, SlidingWindow: 4096, MaxWindowLayers: 28}}
}

func qwen2Forward(b *graph.Builder, c *qwen2Config, in Inputs) Outputs {
	mask := func(layer int) *graph.Value { return c.mask(in, c.qwenWindow(layer)) }
	return decoder{decoderConfig: &c.decoderConfig, qkvBias: true, mask: mask}.forward(b, in)
}

// qwenWindow reports whether a layer keeps to the sliding window: as layer_types says, or, in
// configs without it, the layers from max_window_layers on if use_sliding_window is set.
func (c *decoderConfig) qwenWindow(layer int) bool {
	switch {
	case !c.UseWindow:
		return false
	case layer < len(c.LayerTypes):
		return c.LayerTypes[layer] == slidingAttention
	}
	return layer >= c.MaxWindowLayers
}
