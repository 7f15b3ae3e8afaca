package evaluate

// averagePrecision is trec_eval's map_cut: the precision at each relevant rank up to k,
// summed and divided by the number of all relevant documents (not by at most k).
var averagePrecision = &Metric{
	Name:       "map",
	Doc:        "mean average precision",
	Abstention: true,
	Value: func(j *Judged, k int) float64 {
		if len(j.Ideal) == 0 {
			return 0
		}
		found, sum := 0, 0.0
		for i, grade := range j.Grades[:min(k, len(j.Grades))] {
			if grade > 0 {
				found++
				sum += float64(found) / float64(i+1)
			}
		}
		return sum / float64(len(j.Ideal))
	},
}
