package convert

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"graft/graph"
)

// ropeScaling is how a rope_type reaches positions beyond those that the model was trained on
// (transformers.modeling_rope_utils).
type ropeScaling struct {
	// scale is the angle of pair i of dim features for one step of a position, inv being the angle
	// without scaling.
	scale func(p ropeParameters, i, dim int, inv float64) float64
	// valid reports whether the parameters that it needs are there and possible.
	valid func(p ropeParameters) bool
	// longer reports whether the model takes factor times the tokens that it was trained on
	// though max_position_embeddings names only those.
	longer bool
}

var ropeScalings = map[string]ropeScaling{
	"":        {scale: unscaled, valid: always},
	"default": {scale: unscaled, valid: always},
	"linear":  {scale: func(p ropeParameters, _, _ int, inv float64) float64 { return inv / p.Factor }, valid: hasFactor},
	"dynamic": {scale: unscaled, valid: hasFactor, longer: true}, // and dynamicStretch
	"ntk":     {scale: ntkScaling, valid: func(p ropeParameters) bool { return hasFactor(p) && p.MixedB == nil }},
	"llama3":  {scale: llama3Scaling, valid: validLlama3},
	"yarn":    {scale: yarnScaling, valid: hasFactor, longer: true},
	longrope:  {scale: func(p ropeParameters, i, _ int, inv float64) float64 { return inv / p.ShortFactor[i] }, valid: validLong}, // and longTurn
}

const longrope = "longrope"

func unscaled(_ ropeParameters, _, _ int, inv float64) float64 { return inv }

func always(ropeParameters) bool { return true }

func hasFactor(p ropeParameters) bool { return p.Factor >= 1 && p.OriginalPosition > 0 }

// ntkScaling is that of gte's original code for all texts, whatever their length: the base times the factor f, and every
// angle over f to the power of 2/dim, so that the slowest pair turns as far over f times the tokens as it did.
func ntkScaling(p ropeParameters, i, dim int, inv float64) float64 {
	return inv * math.Pow(p.Factor, -float64(2*i+2)/float64(dim))
}

func validLlama3(p ropeParameters) bool {
	return p.Factor > 0 && p.LowFreqFactor > 0 && p.HighFreqFactor > p.LowFreqFactor && p.OriginalPosition > 0
}

// llama3Scaling stretches long waves by the factor, keeps short ones and blends between.
func llama3Scaling(p ropeParameters, _, _ int, inv float64) float64 {
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

// yarnScaling keeps the features that turn more than beta_fast times over the trained context,
// stretches those that turn less than beta_slow times and goes from one to the other on a ramp
// over the features between (Peng et al. 2023, section 3.2).
func yarnScaling(p ropeParameters, i, dim int, inv float64) float64 {
	at := func(turns float64) float64 { // the feature that turns so many times
		return float64(dim) * math.Log(p.OriginalPosition/(turns*2*math.Pi)) / (2 * math.Log(p.Theta))
	}
	low, high := at(p.BetaFast), at(p.BetaSlow)
	if p.Truncate == nil || *p.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(dim-1))
	if low == high {
		high += 0.001
	}
	stretched := min(max((float64(i)-low)/(high-low), 0), 1)
	return stretched*inv/p.Factor + (1-stretched)*inv
}

func validLong(p ropeParameters) bool {
	none := func(x float64) bool { return !(x > 0) }
	return p.OriginalPosition > 1 && !slices.ContainsFunc(p.ShortFactor, none) && !slices.ContainsFunc(p.LongFactor, none)
}

// attentionFactor is what yarn and longrope multiply cosines and sines by, so that scores stay as sharp over
// longer texts (Peng et al. 2023, section 3.4; Ding et al. 2024).
func (p ropeParameters) attentionFactor() float64 {
	grow := func(mscale float64) float64 {
		if p.Factor <= 1 {
			return 1
		}
		return 0.1*mscale*math.Log(p.Factor) + 1
	}
	switch {
	case p.Type != "yarn" && p.Type != longrope:
		return 1
	case p.AttentionFactor != 0:
		return p.AttentionFactor
	case p.Type == longrope && p.Factor <= 1:
		return 1
	case p.Type == longrope:
		return math.Sqrt(1 + math.Log(p.Factor)/math.Log(p.OriginalPosition))
	case p.MScale != 0 && p.MScaleAllDim != 0:
		return grow(p.MScale) / grow(p.MScaleAllDim)
	}
	return grow(1)
}

// longTurn are longrope's angles for a step of one position, [batch, 1, pairs]: those by long_factor in a text of more tokens than the
// model was first trained on, else short, which are those by short_factor. As in dynamicStretch each text goes by its own length.
func longTurn(b *graph.Builder, p ropeParameters, positions, short *graph.Value, size int) *graph.Value {
	p.ShortFactor = p.LongFactor
	inv, err := p.inverse(size)
	if err != nil {
		b.Errorf("%w", err)
		return short
	}
	last := b.Op("ReduceMax", []*graph.Value{b.Cast(positions, graph.Float), b.Int64s(1)}) // [batch, 1]
	long := b.Op("Greater", []*graph.Value{last, b.Scalar(float32(p.OriginalPosition - 1))})
	return b.Where(b.Unsqueeze(long, 2), b.Const(graph.NewTensor("long_inv_freq", inv, int64(len(inv)))), short)
}

// dynamicStretch is what the angles of n pairs are multiplied by in a text that is longer than the
// trained context: 1 up to there, and beyond it as if the base had grown with the text (NTK-aware
// scaling). Each text is stretched by its own length, so its vector does not depend on its batch;
// the library takes the batch's longest, which is the same for a text alone. [batch, 1, n].
func dynamicStretch(b *graph.Builder, p ropeParameters, context int, positions *graph.Value, n int) *graph.Value {
	length := b.Add(b.Op("ReduceMax", []*graph.Value{b.Cast(positions, graph.Float), b.Int64s(1)}), b.Scalar(1)) // [batch, 1]
	over := b.Div(b.Op("Max", []*graph.Value{length, b.Scalar(float32(context))}), b.Scalar(float32(context)))
	grown := b.Sub(b.Mul(over, b.Scalar(float32(p.Factor))), b.Scalar(float32(p.Factor-1))) // [batch, 1]
	power := make([]float32, n)
	for i := range power {
		power[i] = -2 * float32(i) / float32(2*n-2)
	}
	return b.Op("Pow", []*graph.Value{b.Unsqueeze(grown, 2), b.Const(graph.NewTensor("growth", power, int64(n)))})
}

// inverse are the angles that a step of one position turns each pair of features by; size is
// that of a head, of which the first 2·len(result) features turn.
func (p ropeParameters) inverse(size int) ([]float32, error) {
	scaling, ok := ropeScalings[p.Type]
	if !ok {
		known := slices.Sorted(maps.Keys(ropeScalings))[1:]
		return nil, fmt.Errorf("config.json: rope_type %q is not known; known: %q", p.Type, known)
	}
	if !scaling.valid(p) || p.Theta <= 1 {
		return nil, fmt.Errorf("config.json: rope_type %q with impossible parameters %s", p.Type, p)
	}
	dim := int(float64(size) * p.share())
	if dim < 2 || dim > size || dim%2 != 0 {
		return nil, fmt.Errorf("config.json: %d of a head's %d features cannot be rotated in pairs", dim, size)
	}
	if n := dim / 2; p.Type == longrope && (len(p.ShortFactor) != n || len(p.LongFactor) != n) {
		return nil, fmt.Errorf("config.json: short_factor has %d numbers and long_factor %d, want %d, one for each pair of the features that turn",
			len(p.ShortFactor), len(p.LongFactor), n)
	}
	inv := make([]float32, dim/2)
	for i := range inv {
		inv[i] = float32(scaling.scale(p, i, dim, math.Pow(p.Theta, -float64(2*i)/float64(dim))))
	}
	return inv, nil
}

// share is the part of a head's features that turn. The classes of these architectures read
// partial_rotary_factor only where the angles are scaled.
func (p ropeParameters) share() float64 {
	if p.Type == "" || p.Type == "default" {
		return orElse(p.fraction, 1)
	}
	return orElse(p.Partial, 1)
}

// String names the parameters as config.json does.
func (p ropeParameters) String() string {
	return fmt.Sprintf("(rope_theta %g, factor %g, low_freq_factor %g, high_freq_factor %g, original_max_position_embeddings %g)",
		p.Theta, p.Factor, p.LowFreqFactor, p.HighFreqFactor, p.OriginalPosition)
}

// positions is how many tokens a model takes that was trained on context of them: more, where its
// kind of rotary position reaches further.
func (c ropeConfig) positions(context int) int {
	p, err := c.of(ropeDefaults{Context: context})
	if err == nil && ropeScalings[p.Type].longer && hasFactor(p) && p.Factor < 1<<20 {
		return max(context, int(p.Factor*p.OriginalPosition))
	}
	return context
}
