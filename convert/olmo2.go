package convert

import "graft/graph"

// olmo2 is llama with norms behind attention and the feed-forward network in place of those before them, and with norms of query
// and key over all heads together (OLMo team 2025).
var olmo2 = &Arch{
	Name:       "olmo2",
	Doc:        "decoder that normalizes what it adds to the residual stream, and query and key (OLMo team 2025)",
	ModelTypes: []string{"olmo2"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newOlmo2Config() },
	Forward:    forward(olmo2Forward),
}

type olmo2Config struct{ decoderConfig }

func newOlmo2Config() *olmo2Config {
	return &olmo2Config{decoderConfig{Vocab: 50304, Hidden: 4096, Layers: 32, Heads: 32, Intermediate: 11008, Act: "silu", Positions: 2048, Eps: 1e-5}}
}

func olmo2Forward(b *graph.Builder, c *olmo2Config, in Inputs) Outputs {
	return decoder{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias, qkNorm: allHeads,
		norms: blockNorms{afterAttention: "post_attention_layernorm", afterMLP: "post_feedforward_layernorm"},
	}.forward(b, in)
}
