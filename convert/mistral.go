package convert

import "graft/graph"

// mistral is llama with a sliding window in every layer (Jiang et al. 2023); embedding models
// made of it often attend both ways (is_causal false, or Inputs.Bidirectional).
var mistral = &Arch{
	Name:       "mistral",
	Doc:        "llama with sliding-window attention (Jiang et al. 2023)",
	ModelTypes: []string{"mistral"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newMistralConfig() },
	Forward:    forward(mistralForward),
}

type mistralConfig struct{ decoderConfig }

func newMistralConfig() *mistralConfig {
	return &mistralConfig{decoderConfig{Vocab: 32000, Hidden: 4096, Layers: 32, Heads: 32, KVHeads: 8, Intermediate: 14336, Act: "silu",
		Positions: 4096 * 32, Eps: 1e-6, SlidingWindow: 4096}}
}

func mistralForward(b *graph.Builder, c *mistralConfig, in Inputs) Outputs {
	window := func(int) *graph.Value { return c.mask(in, true) }
	return decoder{decoderConfig: &c.decoderConfig, mask: window}.forward(b, in)
}
