package convert

import "graft/graph"

// gemma is the first Gemma (Gemma team 2024): llama's blocks with gemma's norms, embeddings times the
// root of their size, and heads of a size of their own.
var gemma = &Arch{
	Name:       "gemma",
	Doc:        "llama's blocks with norms by 1 + gain and scaled embeddings (Gemma team 2024)",
	ModelTypes: []string{"gemma"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newGemma1Config() },
	Forward:    forward(gemma1Forward),
}

type gemma1Config struct{ gemmaConfig }

func newGemma1Config() *gemma1Config {
	return &gemma1Config{gemmaConfig{decoderConfig: decoderConfig{Vocab: 256000, Hidden: 3072, Layers: 28, Heads: 16, KVHeads: 16, HeadDim: 256,
		Intermediate: 24576, Act: "gelu_pytorch_tanh", Positions: 8192, Eps: 1e-6}}}
}

func gemma1Forward(b *graph.Builder, c *gemma1Config, in Inputs) Outputs {
	if c.BothWays && !in.Bidirectional {
		b.Errorf("config.json: use_bidirectional_attention is not known in gemma: what it means depends on the library's attention kernel")
	}
	d := c.decoder()
	if c.Act == "gelu" { // the first configs say so and mean its approximation
		d.act = "gelu_pytorch_tanh"
	}
	return d.forward(b, in)
}
