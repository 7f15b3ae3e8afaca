package evaluate

// accuracy is recall at 1 under the name that mteb gives it for multiple-choice tasks.
var accuracy = &Metric{
	Name:  "accuracy",
	Doc:   "recall at 1",
	Plain: true,
	Value: func(j *Judged, k int) float64 { return recall.Value(j, k) },
}
