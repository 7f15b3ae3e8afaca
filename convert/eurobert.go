package convert

import "graft/graph"

// eurobert is llama's transformer as an encoder: every token sees all others (Boizard et al. 2025).
var eurobert = &Arch{
	Name:       "eurobert",
	Doc:        "llama's transformer as an encoder (Boizard et al. 2025)",
	ModelTypes: []string{"eurobert"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newEurobertConfig() },
	Forward:    forward(eurobertForward),
}

type eurobertConfig struct{ decoderConfig }

func newEurobertConfig() *eurobertConfig {
	return &eurobertConfig{decoderConfig{Vocab: 128256, Hidden: 768, Layers: 12, Heads: 12, Intermediate: 3072, Act: "silu", Positions: 8192, Eps: 1e-5}}
}

func eurobertForward(b *graph.Builder, c *eurobertConfig, in Inputs) Outputs {
	in.Bidirectional = true
	return decoder{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias}.forward(b, in)
}
