package convert

import "graft/graph"

// smollm3 is llama in which every fourth layer does without positions (Bakouch et al. 2025, after Yang et al. 2025).
var smollm3 = &Arch{
	Name:       "smollm3",
	Doc:        "llama in which every fourth layer does without positions (Bakouch et al. 2025)",
	ModelTypes: []string{"smollm3"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newSmolLM3Config() },
	Forward:    forward(smolLM3Forward),
}

type smolLM3Config struct {
	decoderConfig
	Turned   []int `json:"no_rope_layers"` // despite its name: 0 at the layers that do without positions, 1 at the others
	Interval int   `json:"no_rope_layer_interval"`
}

func newSmolLM3Config() *smolLM3Config {
	return &smolLM3Config{decoderConfig: decoderConfig{Vocab: 128256, Hidden: 2048, Layers: 36, Heads: 16, KVHeads: 4, Intermediate: 11008, Act: "silu",
		Positions: 32768, Eps: 1e-6}, Interval: 4}
}

// turned reports whether a layer has rotary positions.
func (c *smolLM3Config) turned(layer int) bool {
	if layer < len(c.Turned) {
		return c.Turned[layer] != 0
	}
	return c.Interval < 1 || (layer+1)%c.Interval != 0
}

// windowed reports whether a layer keeps to the sliding window.
func (c *smolLM3Config) windowed(layer int) bool {
	if layer < len(c.LayerTypes) {
		return c.LayerTypes[layer] == slidingAttention
	}
	return c.UseWindow && !c.turned(layer)
}

func smolLM3Forward(b *graph.Builder, c *smolLM3Config, in Inputs) Outputs {
	r := c.newRope(b, in, ropeDefaults{Theta: 2e6})
	return decoder{decoderConfig: &c.decoderConfig, qkvBias: c.AttentionBias, outBias: c.AttentionBias,
		rope: func(layer int) *rope {
			if !c.turned(layer) {
				return nil
			}
			return r
		},
		mask: func(layer int) *graph.Value { return c.mask(in, c.windowed(layer)) },
	}.forward(b, in)
}
