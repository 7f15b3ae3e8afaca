package convert

import (
	"cmp"
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
	return Sizes{Hidden: c.Hidden, Layers: c.Layers, Heads: c.Heads, HeadDim: c.headSize(), Vocab: c.Vocab,
		Positions: c.ropeConfig.positions(c.Positions)}
}

// headSize is the number of features of a head.
func (c *decoderConfig) headSize() int { return headDim(int(c.HeadDim), c.Hidden, c.Heads) }

// newRope is that of a model trained on max_position_embeddings tokens.
func (c *decoderConfig) newRope(b *graph.Builder, in Inputs, d ropeDefaults) *rope {
	d.Context = c.Positions
	return newRope(b, c.ropeConfig, d, in.Positions, c.headSize())
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

// decoder is the transformer of llama and its descendants: rotary positions, grouped queries (Ainslie et al. 2023), a gated
// feed-forward network and RMSNorm. An architecture sets what it has otherwise; what is zero is as llama has it.
type decoder struct {
	*decoderConfig
	embeddingScale  float64 // embeddings are multiplied by it; 0: by 1
	residualScale   float64 // and what is added to the residual stream; 0: by 1
	residualDropout float64

	norms blockNorms
	norm  func(b *graph.Builder, name string, x *graph.Value, n int) *graph.Value // over the last n features; nil: RMSNorm

	rope func(layer int) *rope        // nil: one for all layers; nil for a layer: it does not turn
	mask func(layer int) *graph.Value // nil: causal order

	qkvBias, outBias bool
	scale            float64 // of attention's scores; 0: 1/sqrt(head size)
	softcap          float64 // scores are softcap·tanh(scores/softcap); 0: off
	qkNorm           qkNorm
	fused            bool   // query, key and value are one matrix, gate and up another
	act              string // of the gate; "": hidden_act
}

// blockNorms are the names of the norms of a block, before and after what attention and the feed-forward network compute; "": none there.
type blockNorms struct{ beforeAttention, afterAttention, beforeMLP, afterMLP string }

var preNorms = blockNorms{beforeAttention: "input_layernorm", beforeMLP: "post_attention_layernorm"}

// qkNorm says what the norms of query and key, q_norm and k_norm, go over.
type qkNorm int

const (
	noQKNorm qkNorm = iota
	eachHead        // each head by itself
	allHeads        // all heads as one vector
)

// forward computes the transformer, b being where embed_tokens, layers and norm are.
func (d decoder) forward(b *graph.Builder, in Inputs) Outputs {
	if d.norms == (blockNorms{}) {
		d.norms = preNorms
	}
	if d.norm == nil {
		d.norm = d.rmsNorm
	}
	if d.rope == nil {
		r := d.newRope(b, in, ropeDefaults{Theta: 10000})
		d.rope = func(int) *rope { return r }
	}
	if d.mask == nil {
		d.mask = func(int) *graph.Value { return d.decoderConfig.mask(in, false) }
	}
	x := times(b, b.Embedding("embed_tokens.weight", in.IDs, d.Vocab, d.Hidden), d.embeddingScale)
	out := Outputs{Blocks: []*graph.Value{x}}
	for i := range d.Layers {
		l := b.Scope("layers.%d", i)
		h := d.attention(l.Scope("self_attn"), d.normed(l, d.norms.beforeAttention, x), d.rope(i), d.mask(i))
		x = d.join(l, x, d.normed(l, d.norms.afterAttention, h))
		h = d.gatedMLP(l.Scope("mlp"), d.normed(l, d.norms.beforeMLP, x))
		x = d.join(l, x, d.normed(l, d.norms.afterMLP, h))
		out.Blocks = append(out.Blocks, x)
	}
	out.Hidden = d.norm(b, "norm", x, d.Hidden)
	return out
}

// normed is x after the norm called name, where there is one.
func (d *decoder) normed(l *graph.Builder, name string, x *graph.Value) *graph.Value {
	if name == "" {
		return x
	}
	return d.norm(l, name, x, d.Hidden)
}

// join adds what a part of a block computed to the residual stream.
func (d *decoder) join(l *graph.Builder, stream, h *graph.Value) *graph.Value {
	return l.Add(stream, times(l, l.Dropout(h, d.residualDropout), d.residualScale))
}

// times is x·factor, and x where the factor is 0 or 1.
func times(b *graph.Builder, x *graph.Value, factor float64) *graph.Value {
	if factor == 0 || factor == 1 {
		return x
	}
	return b.Mul(x, b.Scalar(float32(factor)))
}

// attention is that of x under self_attn's names; s is that scope.
func (d *decoder) attention(s *graph.Builder, x *graph.Value, r *rope, mask *graph.Value) *graph.Value {
	size, kv := d.headSize(), d.kvHeads()
	q, k, v := d.queryKeyValue(s, x, d.Heads*size, kv*size)
	q, k = d.normHeads(s, "q_norm", q, d.Heads), d.normHeads(s, "k_norm", k, kv)
	if r != nil {
		q, k = r.rotate(s, q, d.Heads), r.rotate(s, k, kv)
	}
	y := s.Attention(q, k, v, graph.AttentionOptions{Heads: d.Heads, KVHeads: kv, Scale: d.scale, Softcap: d.softcap, Mask: mask, Dropout: d.AttentionDropout})
	return linear(s, "o_proj", y, d.Heads*size, d.Hidden, d.outBias)
}

// queryKeyValue projects x to so many features of the query, and of key and value.
func (d *decoder) queryKeyValue(s *graph.Builder, x *graph.Value, q, kv int) (query, key, value *graph.Value) {
	if !d.fused {
		return linear(s, "q_proj", x, d.Hidden, q, d.qkvBias), linear(s, "k_proj", x, d.Hidden, kv, d.qkvBias), linear(s, "v_proj", x, d.Hidden, kv, d.qkvBias)
	}
	all := linear(s, "qkv_proj", x, d.Hidden, q+2*kv, d.qkvBias)
	at := func(start, n int) *graph.Value { return s.Slice(all, -1, int64(start), int64(start+n)) }
	return at(0, q), at(q, kv), at(q+kv, kv)
}

// normHeads normalizes x [batch, sequence, heads·size], query or key.
func (d *decoder) normHeads(s *graph.Builder, name string, x *graph.Value, heads int) *graph.Value {
	size := d.headSize()
	switch d.qkNorm {
	case eachHead:
		x = d.norm(s, name, s.Reshape(x, 0, 0, int64(heads), int64(size)), size)
		return s.Reshape(x, 0, 0, int64(heads*size))
	case allHeads:
		return d.norm(s, name, x, heads*size)
	}
	return x
}

// gatedMLP is down(act(gate(x)) · up(x)) (Shazeer 2020).
func (d *decoder) gatedMLP(m *graph.Builder, x *graph.Value) *graph.Value {
	act := cmp.Or(d.act, d.Act)
	if d.fused {
		n := int64(d.Intermediate)
		h := linear(m, "gate_up_proj", x, d.Hidden, 2*d.Intermediate, d.MLPBias) // [gate | up]
		h = m.Mul(m.Activation(act, m.Slice(h, -1, 0, n)), m.Slice(h, -1, n, 2*n))
		return linear(m, "down_proj", h, d.Intermediate, d.Hidden, d.MLPBias)
	}
	gate := m.Activation(act, linear(m, "gate_proj", x, d.Hidden, d.Intermediate, d.MLPBias))
	up := linear(m, "up_proj", x, d.Hidden, d.Intermediate, d.MLPBias)
	return linear(m, "down_proj", m.Mul(gate, up), d.Intermediate, d.Hidden, d.MLPBias)
}

// rmsNorm is RMSNorm with the gain as it is stored.
func (c *decoderConfig) rmsNorm(b *graph.Builder, name string, x *graph.Value, n int) *graph.Value {
	return b.RMSNorm(name, x, n, c.Eps)
}
