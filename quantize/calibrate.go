package quantize

import (
	"errors"

	"graft/graph"
)

// calibration is what was measured of the activations, by the name of the value.
type calibration struct {
	ranges   map[string]limits
	outliers map[string][]int // features that are computed apart, and not in the range
	grams    map[string]*gram

	factored   *gram // the last one of which the correction was taken
	correction *correction
}

// limits are the smallest and the largest number that is told apart.
type limits struct{ low, high float32 }

// calibrate measures what the scheme asks for.
func (j *job) calibrate() error {
	j.calibration = &calibration{}
	if j.scheme.measure == nil || j.Activations == nil {
		return nil
	}
	return j.scheme.measure(j)
}

var errNoTokens = errors.New("the calibration texts have no tokens")

// record runs the source on the calibration texts.
func (j *job) record(values []*graph.Value, use func(mask []int64, values [][]float32)) error {
	tokens := 0
	err := j.Activations.Record(j.ctx, j.source, values, func(mask []int64, x [][]float32) error {
		for _, real := range mask {
			if real != 0 {
				tokens++
			}
		}
		use(mask, x)
		return nil
	})
	if err == nil && tokens == 0 {
		err = errNoTokens
	}
	return err
}

// perToken reports whether v has a row of features for each token, [batch, sequence, features]: the
// pooled vector, which a Dense module multiplies, has not, nor has the table of distances that DeBERTa multiplies, [1, distances, features].
func perToken(v *graph.Value) bool {
	s := v.Shape()
	return len(s) == 3 && !s[0].Known() && !s[1].Known()
}
