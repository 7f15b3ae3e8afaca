package evaluate

import (
	"cmp"
	"math"
	"slices"
)

// nauc is the normalized area under the abstention curve (Gisserot-Boukhlef et al. 2024,
// arXiv 2402.12997) as mteb 2.26 computes it, for every metric that has Abstention set
// and every confidence. The arithmetic follows numpy's order of summation: where a metric
// is almost constant, the figure is a quotient of rounding errors, and mteb prints it.
var nauc = &Metric{
	Name: "nauc",
	Doc:  "how well scores tell which queries to abstain from",
	Across: func(t *Table) []Score {
		var scores []Score
		for m, metric := range t.Metrics {
			if !metric.Abstention {
				continue
			}
			for i, k := range metric.cutoffs() {
				values := t.column(m, i)
				for c, confidence := range abstentionConfidences {
					key := "nauc_" + metric.key(k) + "_" + confidence.name
					scores = append(scores, Score{key, normalizedAUC(t.confidences[c], values)})
				}
			}
		}
		return scores
	},
}

// abstentionConfidences are the three confidences of a query, from the scores of its hits.
var abstentionConfidences = []struct {
	name string
	of   func(scores []float64) float64
}{
	{"max", func(scores []float64) float64 {
		if len(scores) == 0 {
			return 0
		}
		return slices.Max(scores)
	}},
	{"std", standardDeviation},
	{"diff1", func(scores []float64) float64 {
		if len(scores) < 2 {
			return 0
		}
		s := slices.Sorted(slices.Values(scores))
		return s[len(s)-1] - s[len(s)-2]
	}},
}

// standardDeviation is numpy.std: of the population.
func standardDeviation(scores []float64) float64 {
	if len(scores) == 0 {
		return 0
	}
	n := float64(len(scores))
	mean := pairwiseSum(scores) / n
	squares := make([]float64, len(scores))
	for i, s := range scores {
		squares[i] = (s - mean) * (s - mean)
	}
	return math.Sqrt(pairwiseSum(squares) / n)
}

// normalizedAUC is 1 where confidence orders the queries as the metric itself does, 0
// where abstaining by it gains nothing, and NaN where no order could.
func normalizedAUC(confidence, values []float64) float64 {
	rates := make([]float64, 10) // numpy.linspace(0, 1, 11)[:-1]
	for i := range rates {
		rates[i] = float64(i) * 0.1
	}
	if len(values) == 0 {
		return math.NaN()
	}
	oracleCurve := abstentionCurve(values, values, rates)
	abstention := trapezoid(rates, abstentionCurve(confidence, values, rates))
	oracle := trapezoid(rates, oracleCurve)
	flat := oracleCurve[0] * (rates[len(rates)-1] - rates[0])
	if oracle == flat {
		return math.NaN()
	}
	return (abstention - flat) / (oracle - flat)
}

// abstentionCurve is the mean value of the queries that remain after the given share of
// the least confident is dropped. Queries of equal confidence share their mean value,
// so that the curve does not depend on their order.
func abstentionCurve(confidence, values, rates []float64) []float64 {
	n := len(values)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(confidence[a], confidence[b]) })
	sorted := make([]float64, n)
	for i, q := range order {
		sorted[i] = values[q]
	}
	for start := 0; start < n; {
		end := start + 1
		for end < n && confidence[order[end]] == confidence[order[start]] {
			end++
		}
		mean := (sorted[start] + pairwiseSum(sorted[start+1:end])) / float64(end-start)
		for i := start; i < end; i++ {
			sorted[i] = mean
		}
		start = end
	}
	curve := make([]float64, len(rates))
	for i, rate := range rates {
		rest := sorted[min(int(math.RoundToEven(rate*float64(n))), n-1):]
		curve[i] = pairwiseSum(rest) / float64(len(rest))
	}
	return curve
}

// trapezoid is numpy.trapezoid: the area under y over x.
func trapezoid(x, y []float64) float64 {
	areas := make([]float64, len(x)-1)
	for i := range areas {
		areas[i] = (x[i+1] - x[i]) * (y[i+1] + y[i]) / 2
	}
	return pairwiseSum(areas)
}

// pairwiseSum adds in numpy's order: eight running sums in blocks of up to 128, halves above.
func pairwiseSum(a []float64) float64 {
	n := len(a)
	if n > 128 {
		half := n / 2
		half -= half % 8
		return pairwiseSum(a[:half]) + pairwiseSum(a[half:])
	}
	sum, i := 0.0, 0
	if n >= 8 {
		r := [8]float64(a[:8])
		for i = 8; i+8 <= n; i += 8 {
			for l := range r {
				r[l] += a[i+l]
			}
		}
		sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
	}
	for ; i < n; i++ {
		sum += a[i]
	}
	return sum
}
