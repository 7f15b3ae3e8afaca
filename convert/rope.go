package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"graft/graph"
)

// ropeConfig is what config.json says of rotary positions, in both spellings: rope_theta with
// rope_scaling (transformers 4), rope_parameters (transformers 5), flat or by layer type.
type ropeConfig struct {
	Theta      float64         `json:"rope_theta"`
	Scaling    *ropeParameters `json:"rope_scaling"`
	Parameters json.RawMessage `json:"rope_parameters"`
	Partial    float64         `json:"partial_rotary_factor"`
}

// ropeParameters are the settings of one kind of rotary position.
type ropeParameters struct {
	Type             string  `json:"rope_type"`
	OldType          string  `json:"type"` // transformers before 4.43
	Theta            float64 `json:"rope_theta"`
	Partial          float64 `json:"partial_rotary_factor"`
	Factor           float64 `json:"factor"`
	LowFreqFactor    float64 `json:"low_freq_factor"`
	HighFreqFactor   float64 `json:"high_freq_factor"`
	OriginalPosition float64 `json:"original_max_position_embeddings"`
}

// of returns the parameters of a layer type ("" where a model has one kind); theta is the base
// where the config names none.
func (c ropeConfig) of(layerType string, theta float64) (ropeParameters, error) {
	p := ropeParameters{Theta: c.Theta, Partial: c.Partial}
	if c.Scaling != nil {
		p = *c.Scaling
		p.Theta, p.Partial = orElse(p.Theta, c.Theta), orElse(p.Partial, c.Partial)
	}
	if len(c.Parameters) > 0 && string(c.Parameters) != "null" {
		raw := c.Parameters
		var byType map[string]json.RawMessage
		if err := json.Unmarshal(raw, &byType); err != nil {
			return p, fmt.Errorf("config.json: rope_parameters: %w", err)
		}
		if own, ok := byType[layerType]; ok {
			raw = own
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return p, fmt.Errorf("config.json: rope_parameters: %w", err)
		}
	}
	if p.Type == "" {
		p.Type = p.OldType
	}
	p.Theta = orElse(p.Theta, theta)
	return p, nil
}

func orElse(x, other float64) float64 {
	if x != 0 {
		return x
	}
	return other
}

// ropeScalings change the inverse frequencies of each rope_type (transformers.modeling_rope_utils).
var ropeScalings = map[string]func(p ropeParameters, inv float64) float64{
	"":        func(_ ropeParameters, inv float64) float64 { return inv },
	"default": func(_ ropeParameters, inv float64) float64 { return inv },
	"linear":  func(p ropeParameters, inv float64) float64 { return inv / p.Factor },
	"llama3":  llama3Scaling,
}

// llama3Scaling stretches long waves by the factor, keeps short ones and blends between.
func llama3Scaling(p ropeParameters, inv float64) float64 {
	wave := 2 * math.Pi / inv
	switch {
	case wave < p.OriginalPosition/p.HighFreqFactor:
		return inv
	case wave > p.OriginalPosition/p.LowFreqFactor:
		return inv / p.Factor
	}
	smooth := (p.OriginalPosition/wave - p.LowFreqFactor) / (p.HighFreqFactor - p.LowFreqFactor)
	return (1-smooth)*inv/p.Factor + smooth*inv
}

// inverse are the angles that a step of one position turns each pair of features by; size is
// that of a head, of which the first 2·len(result) features turn.
func (p ropeParameters) inverse(size int) ([]float32, error) {
	scale, ok := ropeScalings[p.Type]
	if !ok {
		known := slices.Sorted(maps.Keys(ropeScalings))[1:]
		return nil, fmt.Errorf("config.json: rope_type %q is not known; known: %q", p.Type, known)
	}
	if (p.Type == "linear" || p.Type == "llama3") && p.Factor <= 0 ||
		p.Type == "llama3" && (p.LowFreqFactor <= 0 || p.HighFreqFactor <= p.LowFreqFactor || p.OriginalPosition <= 0) {
		return nil, fmt.Errorf("config.json: rope_type %q with impossible parameters %+v", p.Type, p)
	}
	dim := int(float64(size) * orElse(p.Partial, 1))
	if dim < 2 || dim > size || dim%2 != 0 {
		return nil, fmt.Errorf("config.json: %d of a head's %d features cannot be rotated in pairs", dim, size)
	}
	inv := make([]float32, dim/2)
	for i := range inv {
		inv[i] = float32(scale(p, math.Pow(p.Theta, -float64(2*i)/float64(dim))))
	}
	return inv, nil
}

// rope holds the cosines and sines of a model's positions: [batch, sequence, dim/2] each,
// computed in the graph so that no table bounds the length.
type rope struct {
	cos, sin  *graph.Value
	dim, size int
}

// newRope computes the angles of positions for heads of the given size, with the parameters that
// c gives for a layer type and theta where it names no base.
func newRope(b *graph.Builder, c ropeConfig, layerType string, theta float64, positions *graph.Value, size int) *rope {
	p, err := c.of(layerType, theta)
	var inv []float32
	if err == nil {
		inv, err = p.inverse(size)
	}
	if err != nil {
		b.Errorf("%w", err)
		inv = make([]float32, 1)
	}
	b = b.Scope("rope")
	at := b.Unsqueeze(b.Cast(positions, graph.Float), 2)
	angle := b.Mul(at, b.Const(graph.NewTensor("inv_freq", inv, int64(len(inv)))))
	return &rope{b.Op("Cos", []*graph.Value{angle}), b.Op("Sin", []*graph.Value{angle}), 2 * len(inv), size}
}

// rotate turns the heads of x [batch, sequence, heads·size].
func (r *rope) rotate(b *graph.Builder, x *graph.Value, heads int) *graph.Value {
	return b.Rotary(x, r.cos, r.sin, heads, r.dim, r.size)
}
