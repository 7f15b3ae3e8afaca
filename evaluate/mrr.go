package evaluate

// reciprocalRank is mteb's own MRR (mteb/_evaluators/retrieval_metrics.py since 2.18.20),
// not trec_eval's recip_rank: it ranks by the scores as doubles.
var reciprocalRank = &Metric{
	Name:       "mrr",
	Doc:        "reciprocal of the first relevant rank within k",
	Unrounded:  true,
	Abstention: true,
	Value: func(j *Judged, k int) float64 {
		for i, grade := range j.GradesByDouble[:min(k, len(j.GradesByDouble))] {
			if grade > 0 {
				return 1 / float64(i+1)
			}
		}
		return 0
	},
}
