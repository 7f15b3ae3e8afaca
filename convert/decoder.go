package convert

import (
	"encoding/json"

	"graft/graph"
)

// decoderConfig is the config.json that llama and its descendants share, read into their defaults.
type decoderConfig struct {
	ropeConfig
	Vocab            int      `json:"vocab_size"`
	Hidden           int      `json:"hidden_size"`
	Layers           int      `json:"num_hidden_layers"`
	Heads            int      `json:"num_attention_heads"`
	KVHeads          orNone   `json:"num_key_value_heads"` // 0: as Heads
	HeadDim          orNone   `json:"head_dim"`            // 0: hidden size / heads
	Intermediate     int      `json:"intermediate_size"`
	Act              string   `json:"hidden_act"`
	Positions        int      `json:"max_position_embeddings"`
	Eps              float64  `json:"rms_norm_eps"`
	AttentionBias    bool     `json:"attention_bias"`
	MLPBias          bool     `json:"mlp_bias"`
	AttentionDropout float64  `json:"attention_dropout"`
	SlidingWindow    orNone   `json:"sliding_window"` // 0: none
	UseWindow        bool     `json:"use_sliding_window"`
	MaxWindowLayers  int      `json:"max_window_layers"`
	LayerTypes       []string `json:"layer_types"`
	Causal           *bool    `json:"is_causal"` // false in embedding models that were trained to look both ways
}

// orNone is a number that a config may say is not there, by null; it is then 0, whatever the default.
type orNone int

func (n *orNone) UnmarshalJSON(raw []byte) error {
	if *n = 0; string(raw) == "null" {
		return nil
	}
	return json.Unmarshal(raw, (*int)(n))
}

func (c *decoderConfig) Sizes() Sizes {
	return Sizes{Hidden: c.Hidden, Layers: c.Layers, Heads: c.Heads, HeadDim: headDim(int(c.HeadDim), c.Hidden, c.Heads), Vocab: c.Vocab,
		Positions: c.ropeConfig.positions(c.Positions)}
}

// kvHeads is the number of heads of key and value.
func (c *decoderConfig) kvHeads() int {
	if c.KVHeads > 0 {
		return int(c.KVHeads)
	}
	return c.Heads
}

// bidirectional reports whether tokens attend to those behind them too.
func (c *decoderConfig) bidirectional(in Inputs) bool {
	return in.Bidirectional || c.Causal != nil && !*c.Causal
}

// mask is that of a layer, windowed or not. A model whose config says that it looks both ways keeps its
// window, on either side; one that was asked to do so sees all tokens.
func (c *decoderConfig) mask(in Inputs, windowed bool) *graph.Value {
	windowed = windowed && c.SlidingWindow > 0 && int(c.SlidingWindow) < c.Sizes().Positions // a wider one hides nothing
	switch {
	case in.Bidirectional, c.bidirectional(in) && !windowed:
		return in.Mask.Padding()
	case c.bidirectional(in):
		return in.Mask.Window(int(c.SlidingWindow))
	case windowed:
		return in.Mask.CausalWindow(int(c.SlidingWindow))
	}
	return in.Mask.Causal()
}

// decoderAttention is grouped-query attention with rotary positions (Ainslie et al. 2023).
type decoderAttention struct {
	*decoderConfig
	qkvBias, outBias bool
	scale            float64                                                          // 0: 1/sqrt(head size)
	softcap          float64                                                          // scores are softcap·tanh(scores/softcap); 0: off
	norm             func(s *graph.Builder, name string, x *graph.Value) *graph.Value // of each head of q and k; nil: none
}

// apply is the attention of x under self_attn's names; s is that scope.
func (a *decoderAttention) apply(s *graph.Builder, x *graph.Value, r *rope, mask *graph.Value) *graph.Value {
	size, kv := headDim(int(a.HeadDim), a.Hidden, a.Heads), a.kvHeads()
	q := linear(s, "q_proj", x, a.Hidden, a.Heads*size, a.qkvBias)
	k := linear(s, "k_proj", x, a.Hidden, kv*size, a.qkvBias)
	v := linear(s, "v_proj", x, a.Hidden, kv*size, a.qkvBias)
	if a.norm != nil {
		q, k = a.headNorm(s, "q_norm", q, a.Heads, size), a.headNorm(s, "k_norm", k, kv, size)
	}
	y := s.Attention(r.rotate(s, q, a.Heads), r.rotate(s, k, kv), v,
		graph.AttentionOptions{Heads: a.Heads, KVHeads: kv, Scale: a.scale, Softcap: a.softcap, Mask: mask, Dropout: a.AttentionDropout})
	return linear(s, "o_proj", y, a.Heads*size, a.Hidden, a.outBias)
}

// headNorm normalizes each head of x [batch, sequence, heads·size] by itself.
func (a *decoderAttention) headNorm(s *graph.Builder, name string, x *graph.Value, heads, size int) *graph.Value {
	x = a.norm(s, name, s.Reshape(x, 0, 0, int64(heads), int64(size)))
	return s.Reshape(x, 0, 0, int64(heads*size))
}

// headRMSNorm is RMSNorm over a head, with the gain as it is stored.
func (c *decoderConfig) headRMSNorm(s *graph.Builder, name string, x *graph.Value) *graph.Value {
	return s.RMSNorm(name, x, headDim(int(c.HeadDim), c.Hidden, c.Heads), c.Eps)
}

// gatedMLP is down(act(gate(x)) · up(x)) (Shazeer 2020).
func (c *decoderConfig) gatedMLP(m *graph.Builder, x *graph.Value, act string) *graph.Value {
	gate := m.Activation(act, linear(m, "gate_proj", x, c.Hidden, c.Intermediate, c.MLPBias))
	up := linear(m, "up_proj", x, c.Hidden, c.Intermediate, c.MLPBias)
	return linear(m, "down_proj", m.Mul(gate, up), c.Intermediate, c.Hidden, c.MLPBias)
}

// preNormDecoder is the transformer of llama, mistral, qwen2 and qwen3: pre-norm blocks of attn
// and a gated MLP. windowed says which layers keep to the sliding window.
func preNormDecoder(b *graph.Builder, attn *decoderAttention, in Inputs, theta float64, windowed func(layer int) bool) Outputs {
	c := attn.decoderConfig
	r := newRope(b, c.ropeConfig, ropeDefaults{Theta: theta, Context: c.Positions}, in.Positions, headDim(int(c.HeadDim), c.Hidden, c.Heads))
	x := b.Embedding("embed_tokens.weight", in.IDs, c.Vocab, c.Hidden)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range c.Layers {
		l := b.Scope("layers.%d", i)
		h := l.RMSNorm("input_layernorm", x, c.Hidden, c.Eps)
		x = l.Add(x, attn.apply(l.Scope("self_attn"), h, r, c.mask(in, windowed(i))))
		h = l.RMSNorm("post_attention_layernorm", x, c.Hidden, c.Eps)
		x = l.Add(x, c.gatedMLP(l.Scope("mlp"), h, c.Act))
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = b.RMSNorm("norm", x, c.Hidden, c.Eps)
	return out
}
