//go:build !lite

package train

import "math"

// decays are the shapes of the learning rate after warm-up: its factor at step s of n.
// linear and cosine are those of transformers' and PaddleNLP's get_scheduler, with half a cosine wave.
var decays = map[string]func(s, n float64) float64{
	"linear":   func(s, n float64) float64 { return max(0, (n-s)/n) },
	"cosine":   func(s, n float64) float64 { return max(0, 0.5*(1+math.Cos(math.Pi*s/n))) },
	"constant": func(float64, float64) float64 { return 1 },
}

// schedule is the learning rate of each step.
type schedule struct {
	rate   float64
	steps  int // in all
	warmup int
	decay  func(s, n float64) float64
}

// newSchedule resolves warm-up: steps where they are given, else a share of all steps, rounded up as in transformers
// or, for parity, down as in PaddleNLP.
func newSchedule(o Options, steps int) schedule {
	s := schedule{rate: o.LearningRate, steps: steps, warmup: o.WarmupSteps, decay: decays[o.LRSchedulerType]}
	if s.warmup == 0 {
		round := math.Ceil
		if o.Parity {
			round = math.Floor
		}
		s.warmup = int(round(o.WarmupRatio * float64(steps)))
	}
	return s
}

// at is the rate that step, counted from 0, is taken with. The first step of a warm-up has rate 0, as in both peers.
func (s schedule) at(step int) float64 {
	if step < s.warmup {
		return s.rate * (float64(step) / float64(s.warmup))
	}
	return s.rate * s.decay(float64(step-s.warmup), float64(max(1, s.steps-s.warmup)))
}

// position is a place in the data: the next batch of an epoch.
type position struct {
	Epoch int `json:"epoch"`
	Batch int `json:"batch"`
}

// calendar says which batches make each step: GradientAccumulationSteps of them, fewer in the last step of an epoch,
// for no step goes over an epoch's end (transformers since 4.46).
type calendar struct {
	batches      func(epoch int) int // in an epoch; they may differ
	accumulation int
}

// stepsIn is the number of steps in an epoch.
func (c calendar) stepsIn(epoch int) int {
	return (c.batches(epoch) + c.accumulation - 1) / c.accumulation
}

// total is the number of steps of a run: maxSteps, or what so many epochs have; of a broken epoch its share, rounded up.
func (c calendar) total(epochs float64, maxSteps int) int {
	if maxSteps > 0 {
		return maxSteps
	}
	whole, part := math.Modf(epochs)
	steps := 0
	for e := range int(whole) {
		steps += c.stepsIn(e)
	}
	return steps + int(math.Ceil(part*float64(c.stepsIn(int(whole)))))
}

// next gives the batches of the step that begins at p, all of one epoch, and where the step after it begins.
func (c calendar) next(p position) (batches []position, after position) {
	n := c.batches(p.Epoch)
	for i := p.Batch; i < min(n, p.Batch+c.accumulation); i++ {
		batches = append(batches, position{p.Epoch, i})
	}
	after = position{p.Epoch, p.Batch + len(batches)}
	if after.Batch >= n {
		after = position{p.Epoch + 1, 0}
	}
	return batches, after
}

// passed is a position as a number of epochs.
func (c calendar) passed(p position) float64 {
	if p.Batch == 0 {
		return float64(p.Epoch)
	}
	return float64(p.Epoch) + float64(p.Batch)/float64(c.batches(p.Epoch))
}
