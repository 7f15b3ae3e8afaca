package convert

import "graft/graph"

// phi3 is llama with fused matrices (Abdin et al. 2024): query, key and value are one, gate and up another. Later ones turn a part of
// each head only (partial_rotary_factor) and reach longer texts by longrope.
var phi3 = &Arch{
	Name:       "phi3",
	Doc:        "llama with one matrix for query, key and value and one for gate and up (Abdin et al. 2024)",
	ModelTypes: []string{"phi3"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newPhi3Config() },
	Forward:    forward(phi3Forward),
}

type phi3Config struct {
	decoderConfig
	ResidualDropout float64 `json:"resid_pdrop"`
}

func newPhi3Config() *phi3Config {
	return &phi3Config{decoderConfig: decoderConfig{ropeConfig: ropeConfig{Original: 4096}, Vocab: 32064, Hidden: 3072, Layers: 32, Heads: 32,
		Intermediate: 8192, Act: "silu", Positions: 4096, Eps: 1e-5}}
}

func phi3Forward(b *graph.Builder, c *phi3Config, in Inputs) Outputs {
	d := ropeDefaults{Theta: 10000, Partial: true}
	if p, err := c.ropeConfig.of(d); err == nil && p.Type == longrope && c.headSize() != headDim(0, c.Hidden, c.Heads) { // nor does the library load it
		b.Errorf("config.json: head_dim %d with longrope, whose factors are counted by hidden_size %d and %d heads", c.headSize(), c.Hidden, c.Heads)
	}
	r := c.newRope(b, in, d)
	return decoder{decoderConfig: &c.decoderConfig, fused: true, residualDropout: c.ResidualDropout,
		rope: func(int) *rope { return r },
		mask: func(int) *graph.Value { return c.mask(in, true) },
	}.forward(b, in)
}
