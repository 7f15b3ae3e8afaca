package convert

import "graft/graph"

// granite is llama with factors of its own on the embeddings, on what each part of a block adds and on attention's scores (IBM 2024, after
// the maximal update parametrization of Yang et al. 2022). The divisor of the logits belongs to the language model's head.
var granite = &Arch{
	Name:       "granite",
	Doc:        "llama with factors on embeddings, residual sums and attention's scores (IBM 2024)",
	ModelTypes: []string{"granite"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newGraniteConfig() },
	Forward:    forward(graniteForward),
}

type graniteConfig struct {
	decoderConfig
	Embedding float64 `json:"embedding_multiplier"`
	Residual  float64 `json:"residual_multiplier"`
	Attention float64 `json:"attention_multiplier"` // in the place of 1/sqrt(head size)
}

func newGraniteConfig() *graniteConfig {
	return &graniteConfig{decoderConfig{Vocab: 32000, Hidden: 4096, Layers: 32, Heads: 32, Intermediate: 11008, Act: "silu", Positions: 2048, Eps: 1e-6}, 1, 1, 1}
}

func graniteForward(b *graph.Builder, c *graniteConfig, in Inputs) Outputs {
	if c.Embedding == 0 || c.Residual == 0 || c.Attention <= 0 {
		b.Errorf("config.json: embedding_multiplier %g, residual_multiplier %g, attention_multiplier %g: want others than 0", c.Embedding, c.Residual, c.Attention)
	}
	return decoder{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias,
		embeddingScale: c.Embedding, residualScale: c.Residual, scale: c.Attention}.forward(b, in)
}
