package convert

import "graft/graph"

// llama is the pre-norm decoder of Touvron et al. (2023), with grouped-query attention and the
// longer rotary positions of its later versions.
var llama = &Arch{
	Name:       "llama",
	Doc:        "pre-norm decoder with rotary positions and SwiGLU (Touvron et al. 2023)",
	ModelTypes: []string{"llama"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newLlamaConfig() },
	Forward:    forward(llamaForward),
}

type llamaConfig struct{ decoderConfig }

func newLlamaConfig() *llamaConfig {
	return &llamaConfig{decoderConfig{Vocab: 32000, Hidden: 4096, Layers: 32, Heads: 32, Intermediate: 11008, Act: "silu", Positions: 2048, Eps: 1e-6}}
}

func llamaForward(b *graph.Builder, c *llamaConfig, in Inputs) Outputs {
	return decoder{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias}.forward(b, in)
}
