package evaluate

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

// aggregate writes the result of a task that is the plain mean of others' main scores
// (mteb/abstasks/aggregated_task.py). All parts must be there: a mean of fewer has
// been published by mistake before.
func (o Options) aggregate(t Task) (*Outcome, error) {
	var missing []string
	sum, seconds, date := []float64{}, 0.0, math.NaN()
	for _, part := range t.Parts {
		r, err := ReadTaskResult(o.resultPath(part))
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, part)
			continue
		}
		if err != nil {
			return nil, err
		}
		score, ok := r.mainScore(t.Split)
		if !ok {
			return nil, fmt.Errorf("result of %q has no split %q", part, t.Split)
		}
		sum = append(sum, score)
		seconds += r.EvaluationTime
		if !(r.Date <= date) {
			date = r.Date
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%d of %d parts are missing: %s", len(missing), len(t.Parts), strings.Join(missing, ", "))
	}
	mean := round(compensatedSum(sum)/float64(len(sum)), 6)
	result := &TaskResult{
		DatasetRevision: t.Revision, TaskName: t.Name, MtebVersion: mtebVersion, EvaluationTime: seconds, Date: date,
		Splits: []SplitScores{{t.Split, []Entry{{
			Scores: []Score{{MainScore, mean}}, MainScore: mean, Subset: "default", Languages: []string{t.Language},
		}}}},
	}
	path := o.resultPath(t.Name)
	if err := writeFile(path, result.Write); err != nil {
		return nil, err
	}
	return &Outcome{Task: t, Result: result, Files: []string{path}}, nil
}

// mainScore returns the main score of a split's default subset.
func (r *TaskResult) mainScore(split string) (float64, bool) {
	for _, s := range r.Splits {
		for _, e := range s.Entries {
			if s.Split == split && e.Subset == "default" {
				return e.MainScore, true
			}
		}
	}
	return 0, false
}
