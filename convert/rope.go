package convert

import (
	"encoding/json"
	"fmt"
	"reflect"

	"graft/graph"
)

// ropeConfig is what config.json says of rotary positions, in both spellings: rope_theta with
// rope_scaling (transformers 4), rope_parameters (transformers 5), flat or by layer type.
type ropeConfig struct {
	Theta      float64         `json:"rope_theta"`
	Scaling    *ropeParameters `json:"rope_scaling"`
	Parameters json.RawMessage `json:"rope_parameters"`
	Partial    float64         `json:"partial_rotary_factor"`
	Fraction   float64         `json:"rotary_emb_fraction"`              // nomic's original code: the share of a head that turns
	Original   float64         `json:"original_max_position_embeddings"` // phi3's place for longrope's
}

// ropeParameters are the settings of one kind of rotary position.
type ropeParameters struct {
	Type             string   `json:"rope_type"`
	OldType          string   `json:"type"` // transformers before 4.43
	Theta            float64  `json:"rope_theta"`
	Partial          float64  `json:"partial_rotary_factor"` // see share
	Factor           float64  `json:"factor"`
	LowFreqFactor    float64  `json:"low_freq_factor"`
	HighFreqFactor   float64  `json:"high_freq_factor"`
	OriginalPosition float64  `json:"original_max_position_embeddings"` // 0: max_position_embeddings
	MixedB           *float64 `json:"mixed_b"`                          // ntk's other form, which is not known

	// longrope's: what the angle of each pair is divided by in texts up to original_max_position_embeddings tokens, and in longer ones
	ShortFactor []float64 `json:"short_factor"`
	LongFactor  []float64 `json:"long_factor"`

	AttentionFactor float64 `json:"attention_factor"` // yarn's and longrope's; 0: made of the factor

	// yarn's, with the defaults of its paper
	MScale       float64 `json:"mscale"`
	MScaleAllDim float64 `json:"mscale_all_dim"`
	BetaFast     float64 `json:"beta_fast"` // 0: 32
	BetaSlow     float64 `json:"beta_slow"` // 0: 1
	Truncate     *bool   `json:"truncate"`  // false: the ramp's ends are not rounded to features

	fraction float64 // of a head's features that turn
}

// ropeDefaults are what stands where a config says nothing of its rotary positions.
type ropeDefaults struct {
	LayerType string  // whose parameters, "" where a model has one kind
	Theta     float64 // the base
	Context   int     // max_position_embeddings: the tokens that the model was trained on
	Partial   bool    // the class turns partial_rotary_factor of a head, whatever the kind of position
}

// of returns the parameters of a layer type, all filled in.
func (c ropeConfig) of(d ropeDefaults) (ropeParameters, error) {
	p, err := c.given(d.LayerType)
	if err != nil {
		return p, fmt.Errorf("config.json: rope_parameters: %w", err)
	}
	p.Theta, p.Partial = orElse(p.Theta, c.Theta), orElse(p.Partial, c.Partial)
	p.fraction = orElse(c.Fraction, 1)
	if d.Partial {
		p.fraction = orElse(p.Partial, 1)
	}
	if p.Type == "" {
		p.Type = p.OldType
	}
	if p.Type == "su" || p.Type == "yarn" && len(p.ShortFactor) > 0 { // as phi3's first configs call it
		p.Type = longrope
	}
	if p.Type == longrope {
		p.OriginalPosition = orElse(c.Original, p.OriginalPosition)
	}
	p.Theta = orElse(p.Theta, d.Theta)
	p.OriginalPosition = orElse(p.OriginalPosition, float64(d.Context))
	p.BetaFast, p.BetaSlow = orElse(p.BetaFast, 32), orElse(p.BetaSlow, 1)
	if (p.Type == "yarn" || p.Type == longrope) && p.Factor == 0 {
		p.Factor = float64(d.Context) / p.OriginalPosition
	}
	return p, nil
}

// given is what the config says of a layer type. As the library has it, rope_scaling, which users add to a config,
// stands above rope_parameters, and models with layer types read those of their type alone.
func (c ropeConfig) given(layerType string) (p ropeParameters, err error) {
	raw, scaling := c.Parameters, c.Scaling
	if scaling != nil && reflect.ValueOf(*scaling).IsZero() {
		scaling = nil
	}
	if layerType != "" && len(raw) > 0 {
		var byType map[string]json.RawMessage
		if err := json.Unmarshal(raw, &byType); err != nil {
			return p, err
		}
		raw = byType[layerType]
	} else if scaling != nil {
		raw = nil
	}
	if len(raw) > 0 && string(raw) != "null" {
		if err := json.Unmarshal(raw, &p); err != nil {
			return p, err
		}
	}
	if scaling != nil {
		theta := p.Theta
		p = *scaling
		p.Theta = orElse(p.Theta, theta)
	}
	return p, nil
}

func orElse(x, other float64) float64 {
	if x != 0 {
		return x
	}
	return other
}

// newRope computes the angles of positions for heads of the given size, with the parameters that
// c gives and d where it gives none.
func newRope(b *graph.Builder, c ropeConfig, d ropeDefaults, positions *graph.Value, size int) *rope {
	p, err := c.of(d)
	var inv []float32
	if err == nil {
		inv, err = p.inverse(size)
	}
	if err == nil && !d.Partial && p.Partial != 0 && p.Partial != 1 && p.Type != "" && p.Type != "default" { // the library fails at the first text
		err = fmt.Errorf("config.json: partial_rotary_factor %g with rope_type %q is not known", p.Partial, p.Type)
	}
	if err != nil {
		b.Errorf("%w", err)
		inv = make([]float32, 1)
	}
	b = b.Scope("rope")
	at := b.Unsqueeze(b.Cast(positions, graph.Float), 2)
	turn := b.Const(graph.NewTensor("inv_freq", inv, int64(len(inv))))
	switch {
	case p.Type == "dynamic" && len(inv) > 1:
		turn = b.Mul(turn, dynamicStretch(b, p, d.Context, positions, len(inv)))
	case p.Type == longrope && err == nil:
		turn = longTurn(b, p, positions, turn, size)
	}
	angle := b.Mul(at, turn)
	r := &rope{b.Op("Cos", []*graph.Value{angle}), b.Op("Sin", []*graph.Value{angle}), 2 * len(inv), size}
	if f := p.attentionFactor(); f != 1 {
		r.cos, r.sin = b.Mul(r.cos, b.Scalar(float32(f))), b.Mul(r.sin, b.Scalar(float32(f)))
	}
	return r
}

// rope holds the cosines and sines of a model's positions: [batch, sequence, dim/2] each,
// computed in the graph so that no table bounds the length.
type rope struct {
	cos, sin  *graph.Value
	dim, size int
}

// rotate turns the heads of x [batch, sequence, heads·size].
func (r *rope) rotate(b *graph.Builder, x *graph.Value, heads int) *graph.Value {
	return b.Rotary(x, r.cos, r.sin, heads, r.dim, r.size)
}
