//go:build !lite

package train

import (
	"slices"

	"graft/train/loss"
	"graft/train/torch"
)

// newObjective resolves what the embeddings, of width features, are trained for. warn takes sentences for the user.
func newObjective(o Options, width int, warn func(string)) (*loss.Loss, error) {
	c := loss.Config{
		Objective: o.objectiveName(), Temperature: o.Temperature, Margin: o.Margin, Normalize: o.Normalized,
		Distill: o.Distill, DistillWeight: o.DistillWeight,
	}
	if o.UseMatryoshka {
		beyond := loss.Refuse
		switch {
		case o.Parity:
			beyond = loss.Repeat
		case slices.Equal(o.MatryoshkaDims, DefaultOptions().MatryoshkaDims):
			beyond = loss.Drop // nobody chose them for this model
		}
		dims, weights, warnings, err := loss.ResolveDims(o.MatryoshkaDims, o.MatryoshkaLossWeights, width, beyond, o.MatryoshkaFullDim && !o.Parity)
		if err != nil {
			return nil, &FlagError{"matryoshka-dims", err.Error()}
		}
		for _, w := range warnings {
			warn(w)
		}
		c.Dims, c.DimWeights = dims, weights
	}
	return loss.New(c, width)
}

// newStep makes the arithmetic of a run's steps. pad is the tokenizer's padding id; autocast is the type that the encoder
// computes in, 0 for float32; gatherer joins the batches of several processes, nil for one.
func newStep(p *torch.Program, l *loss.Loss, o Options, device torch.Device, autocast torch.DType, pad int32, gatherer loss.Gatherer) (*step, error) {
	count := workersOn(device)
	t := &step{
		workers:   workers{count: count},
		encoder:   encoder{program: p, device: device, autocast: autocast, pad: pad},
		loss:      l,
		gradCache: o.GradCacheChunk > 0,
		rng:       torch.RNG{Seed: uint64(o.Seed)},
		steps:     o.GradientAccumulationSteps,
		mask:      o.MaskFalseNegatives && !o.Parity,
		batching:  batching{parts: count, apart: o.Parity || !o.EncodeOnce, limits: limits{start: startCost(device)}},
	}
	if o.NegativesCrossDevice {
		t.gatherer, t.replicated = gatherer, o.Parity
	}
	if o.Padding == "max_length" {
		t.queryPad, t.passagePad = o.QueryMaxLen, o.PassageMaxLen
	} else {
		t.limits.tokens = o.BatchTokens
	}
	if o.GradCacheChunk > 0 {
		t.limits.texts = o.GradCacheChunk * (1 + l.Passages(o.TrainGroupSize))
	}
	return t, t.checkInputs()
}
