package quantize

import (
	"fmt"
	"strings"

	"graft/graph"
)

// Method is a way to choose the range of activations that is told apart: what lies beyond is cut off,
// so that the codes lie closer where most numbers are.
type Method struct {
	Name string
	Doc  string // one line, with its source

	choose func(*histogram) limits // nil: the smallest and the largest number
}

// methods are all of them; the first is the default.
var methods = []Method{
	{Name: "minmax", Doc: "the smallest and the largest number"},
	{Name: "percentile", Doc: "all but a hundred-thousandth of the numbers at each end", choose: percentile},
	{Name: "entropy", Doc: "least information lost, as Kullback-Leibler divergence (Migacz 2017, TensorRT)", choose: entropy},
	{Name: "mse", Doc: "least mean squared error", choose: leastSquares},
}

// Methods lists the methods of calibration.
func Methods() []Method { return append([]Method{}, methods...) }

func methodNamed(name string) (Method, error) {
	if name == "" {
		return methods[0], nil
	}
	var known []string
	for _, m := range methods {
		if m.Name == name {
			return m, nil
		}
		known = append(known, m.Name)
	}
	return Method{}, fmt.Errorf("unknown calibration method %q (known: %s)", name, strings.Join(known, ", "))
}

// measureLimits finds the range of every product's input over the real tokens of the calibration texts, but for
// features that are computed apart: in one pass, and where the method asks for the distribution in a second one, which
// counts within the range that the first found.
func measureLimits(j *job) error {
	method, err := methodNamed(j.Method)
	if err != nil {
		return err
	}
	values := j.inputs()
	features := make([][]limits, len(values))
	err = j.record(values, func(mask []int64, x [][]float32) {
		for i := range values {
			if features[i] == nil {
				features[i] = make([]limits, len(x[i])/len(mask))
			}
			eachRow(mask, x[i], func(row []float32) {
				for f, x := range row {
					features[i][f].include(x)
				}
			})
		}
	})
	if err != nil {
		return err
	}
	apart := j.separableInputs()
	j.calibration.outliers = map[string][]int{}
	ranges := make([]limits, len(values))
	for i, v := range values {
		if !span(features[i], nil).finite() {
			return fmt.Errorf("value %q is not finite on the calibration texts", v.Name)
		}
		if j.apart && apart[v] {
			j.calibration.outliers[v.Name] = outliers(features[i])
		}
		ranges[i] = span(features[i], j.calibration.outliers[v.Name])
	}
	if method.choose != nil {
		if ranges, err = j.chooseLimits(values, ranges, method); err != nil {
			return err
		}
	}
	j.calibration.ranges = map[string]limits{}
	for i, v := range values {
		j.calibration.ranges[v.Name] = ranges[i]
	}
	return nil
}

// chooseLimits counts the numbers within their ranges and has the method choose.
func (j *job) chooseLimits(values []*graph.Value, ranges []limits, method Method) ([]limits, error) {
	counts := make([]*histogram, len(values))
	for i := range values {
		counts[i] = newHistogram(ranges[i])
	}
	err := j.record(values, func(mask []int64, x [][]float32) {
		for i, v := range values {
			eachRow(mask, x[i], func(row []float32) { counts[i].add(without(row, j.calibration.outliers[v.Name])) })
		}
	})
	if err != nil {
		return nil, err
	}
	chosen := make([]limits, len(values))
	for i, h := range counts {
		chosen[i] = method.choose(h)
	}
	return chosen, nil
}

// inputs are the values that the products to quantize read, each once.
func (j *job) inputs() []*graph.Value {
	seen := map[*graph.Value]bool{}
	var values []*graph.Value
	for _, m := range matrices(j.source.Graph) {
		if m.matches(j.Exclude) {
			continue
		}
		for _, n := range m.nodes {
			if x := n.Inputs[0]; !seen[x] && perToken(x) {
				seen[x] = true
				values = append(values, x)
			}
		}
	}
	return values
}

// separableInputs are those inputs whose outliers can be taken apart: every product with a weight reads them
// alone with it.
func (j *job) separableInputs() map[*graph.Value]bool {
	apart := map[*graph.Value]bool{}
	for _, m := range matrices(j.source.Graph) {
		for _, n := range m.nodes {
			x := n.Inputs[0]
			before, seen := apart[x]
			apart[x] = len(m.nodes) == 1 && (!seen || before) && separable(x)
		}
	}
	return apart
}

// eachRow calls f for the features of each real token.
func eachRow(mask []int64, x []float32, f func([]float32)) {
	width := len(x) / len(mask)
	for t, real := range mask {
		if real != 0 {
			f(x[t*width : (t+1)*width])
		}
	}
}

// include widens l to hold x; NaN stays.
func (l *limits) include(x float32) {
	if x < l.low || x != x {
		l.low = x
	}
	if x > l.high {
		l.high = x
	}
}
