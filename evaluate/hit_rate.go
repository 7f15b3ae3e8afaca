package evaluate

// hitRate is trec_eval's success: whether any of the first k is relevant.
var hitRate = &Metric{
	Name: "hit_rate",
	Doc:  "share of the queries with a relevant document in the first k",
	Value: func(j *Judged, k int) float64 {
		if relevantWithin(j.Grades, k) > 0 {
			return 1
		}
		return 0
	},
}
