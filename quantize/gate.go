package quantize

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"graft/graph"
)

// measurable reports whether the CPU provider runs what is written: all but the fused operators for CUDA.
func (j *job) measurable() bool {
	return j.Vectors != nil && j.Target != CUDA && j.scheme.dtype != graph.BFloat16
}

// withinLoss measures what the vectors lost, and takes outliers apart and migrates scale where less is lost so. Where it is more than
// MaxLoss, each weight's part in it is measured, and the most sensitive ones stay in float32 until
// the rest is within it.
func (j *job) withinLoss(p *Plan) error {
	if !j.measurable() {
		if j.MaxLoss > 0 {
			return fmt.Errorf("the loss of a graph for %s cannot be measured here", j.Target)
		}
		return nil
	}
	before, err := j.Vectors(j.ctx, j.source)
	if err != nil {
		return err
	}
	loss, err := j.loss(before)
	if err != nil {
		return err
	}
	if loss, err = j.separator(before, loss); err != nil {
		return err
	}
	if loss, p.Smooth, err = j.smoother(before, loss); err != nil {
		return err
	}
	p.Loss = &loss
	if j.MaxLoss == 0 || loss <= j.MaxLoss {
		return nil
	}
	j.Log("loss %.5f is more than %.5f: measuring each weight's part", loss, j.MaxLoss)
	order, err := j.sensitivity(before, loss)
	if err != nil {
		return err
	}
	for len(order) > 0 {
		n := (len(order) + 7) / 8 // an eighth of those that are left at a time
		for _, name := range order[:n] {
			j.excluded[name] = true
			p.Exclude = append(p.Exclude, name)
		}
		order = order[n:]
		if err := j.attempt(); err != nil {
			return err
		}
		if loss, err = j.loss(before); err != nil {
			return err
		}
		if loss <= j.MaxLoss {
			return nil
		}
	}
	return fmt.Errorf("a loss of at most %g cannot be reached: it is %.5f with every weight in float32", j.MaxLoss, loss)
}

// tolerable is the loss up to which one range for all features of a value will do. Below it, outliers apart give a larger
// cosine, but no better ranking, and cost some speed (docs/benchmarks.md).
const tolerable = 0.01

// separator takes outliers apart where one range loses more than is tolerable, if less is lost so.
func (j *job) separator(before [][]float32, loss float64) (float64, error) {
	if !j.scheme.smooths || !(loss > tolerable) {
		return loss, nil
	}
	loss, _, err := j.better("outliers apart", before, loss, func(other *job) error {
		other.apart = true
		return nil
	})
	return loss, err
}

// smoother keeps the migration of scale where it measures better, for schemes that quantize activations.
func (j *job) smoother(before [][]float32, loss float64) (float64, bool, error) {
	if !j.scheme.smooths || len(smoothings(j.source.Graph)) == 0 {
		return loss, false, nil
	}
	return j.better("scale migrated to weights", before, loss, func(other *job) error {
		other.source = j.source.Clone()
		if err := graph.Infer(other.source); err != nil {
			return err
		}
		return other.smooth()
	})
}

// better changes a copy of j, calibrates and attempts it, and goes on with it if it loses less. It returns the loss of
// what j is then, and whether it was changed.
func (j *job) better(what string, before [][]float32, loss float64, change func(other *job) error) (float64, bool, error) {
	other := *j
	if err := change(&other); err != nil {
		return 0, false, err
	}
	if err := errors.Join(other.calibrate(), other.attempt()); err != nil {
		return 0, false, err
	}
	changed, err := other.loss(before)
	if err != nil {
		return 0, false, err
	}
	j.Log("loss %.5f, with %s %.5f", loss, what, changed)
	if changed >= loss {
		return loss, false, nil
	}
	*j = other
	return changed, true, nil
}

// sensitivity orders the quantized weights by how much less is lost with each alone in float32, the
// most first.
func (j *job) sensitivity(before [][]float32, loss float64) ([]string, error) {
	gain := map[string]float64{}
	var names []string
	for _, l := range j.layers {
		if l.Error != nil {
			names = append(names, l.Name)
		}
	}
	for _, name := range names {
		j.excluded[name] = true
		if err := j.attempt(); err != nil {
			return nil, err
		}
		without, err := j.loss(before)
		if err != nil {
			return nil, err
		}
		gain[name] = loss - without
		j.Log("%s alone in float32: loss %.5f", name, without)
		delete(j.excluded, name)
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(gain[b], gain[a]) })
	return names, nil
}

// loss is 1 - the mean cosine between the vectors before and those of the present attempt.
func (j *job) loss(before [][]float32) (float64, error) {
	after, err := j.Vectors(j.ctx, j.model)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for i, a := range before {
		c := cosine(a, after[i])
		if math.IsNaN(c) {
			return 0, fmt.Errorf("the vector of text %d is not finite or is zero", i+1)
		}
		sum += c
	}
	return 1 - sum/float64(len(before)), nil
}

// cosine of two vectors; NaN where one is zero or not finite.
func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}
