package evaluate

// recall is trec_eval's recall: relevant documents in the first k over all relevant ones.
var recall = &Metric{
	Name:       "recall",
	Doc:        "share of the relevant documents that are in the first k",
	Abstention: true,
	Value: func(j *Judged, k int) float64 {
		if len(j.Ideal) == 0 {
			return 0
		}
		return float64(relevantWithin(j.Grades, k)) / float64(len(j.Ideal))
	},
}

// relevantWithin counts the relevant hits in the first k ranks.
func relevantWithin(grades []int, k int) int {
	n := 0
	for _, grade := range grades[:min(k, len(grades))] {
		if grade > 0 {
			n++
		}
	}
	return n
}
