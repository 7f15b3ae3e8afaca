package convert

import "graft/graph"

// qwen3 is llama with normalized heads of query and key (Yang et al. 2025).
var qwen3 = &Arch{
	Name:       "qwen3",
	Doc:        "llama with RMSNorm on each head of query and key (Yang et al. 2025)",
	ModelTypes: []string{"qwen3"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newQwen3Config() },
	Forward:    forward(qwen3Forward),
}

type qwen3Config struct{ decoderConfig }

func newQwen3Config() *qwen3Config {
	return &qwen3Config{decoderConfig{Vocab: 151936, Hidden: 4096, Layers: 32, Heads: 32, KVHeads: 32, HeadDim: 128, Intermediate: 22016, Act: "silu",
		Positions: 32768, Eps: 1e-6, SlidingWindow: 4096, MaxWindowLayers: 28}}
}

func qwen3Forward(b *graph.Builder, c *qwen3Config, in Inputs) Outputs {
	mask := func(layer int) *graph.Value { return c.mask(in, c.qwenWindow(layer)) }
	return decoder{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias, qkNorm: eachHead, mask: mask}.forward(b, in)
}
