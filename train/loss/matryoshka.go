package loss

import (
	"errors"
	"fmt"
	"slices"
)

// Beyond says what to do with Matryoshka widths that the model does not have.
type Beyond int

const (
	Refuse Beyond = iota // an error
	Drop                 // left out, with a warning: for a list that nobody chose for this model
	Repeat               // the full width once more, as slicing past the end does in PaddleNLP's example
)

// ResolveDims makes the widths that are trained of the ones that were asked for (Kusupati et al. 2022, "Matryoshka
// representation learning"). weights are those of dims, 1 where they end before. With full, the model's full width is
// trained too, with weight 1, if dims lacks it.
func ResolveDims(dims []int, weights []float64, width int, beyond Beyond, full bool) (outDims []int, outWeights []float64, warnings []string, err error) {
	if len(weights) > len(dims) {
		return nil, nil, nil, fmt.Errorf("%d weights for %d widths", len(weights), len(dims))
	}
	weights = append(slices.Clone(weights), ones(len(dims)-len(weights))...)
	for i, d := range dims {
		if d > width {
			switch beyond {
			case Refuse:
				return nil, nil, nil, fmt.Errorf("width %d is beyond the model's %d features", d, width)
			case Drop:
				warnings = append(warnings, fmt.Sprintf("matryoshka: width %d is beyond the model's %d features and is left out", d, width))
				continue
			case Repeat:
				warnings = append(warnings, fmt.Sprintf("matryoshka: width %d is beyond the model's %d features; it trains the full width once more", d, width))
				d = width
			}
		}
		outDims, outWeights = append(outDims, d), append(outWeights, weights[i])
	}
	if !slices.Contains(outDims, width) {
		if full {
			outDims, outWeights = append(outDims, width), append(outWeights, 1)
		} else {
			warnings = append(warnings, fmt.Sprintf("matryoshka: the model's full width %d is not trained", width))
		}
	}
	return outDims, outWeights, warnings, checkDims(outDims, outWeights, width)
}

func checkDims(dims []int, weights []float64, width int) error {
	if len(dims) == 0 {
		return errors.New("no width is left")
	}
	if len(weights) != len(dims) {
		return fmt.Errorf("%d weights for %d widths", len(weights), len(dims))
	}
	for i, d := range dims {
		if d < 1 || d > width {
			return fmt.Errorf("width %d is not between 1 and the model's %d features", d, width)
		}
		if !(weights[i] > 0) {
			return fmt.Errorf("weight %v of width %d is not above 0", weights[i], d)
		}
	}
	return nil
}

func ones(n int) []float64 { return slices.Repeat([]float64{1}, n) }
