package evaluate

// precision is trec_eval's P: relevant documents in the first k over k, even where
// fewer than k documents were retrieved.
var precision = &Metric{
	Name:       "precision",
	Doc:        "share of the first k that is relevant",
	Abstention: true,
	Value: func(j *Judged, k int) float64 {
		return float64(relevantWithin(j.Grades, k)) / float64(k)
	},
}
