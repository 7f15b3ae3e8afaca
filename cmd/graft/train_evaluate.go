package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"

	"graft/convert"
	"graft/evaluate"
	"graft/train"
)

// mainScore is the metric that is the mean of all tasks' main scores.
const mainScore = "main_score"

// evaluate measures the model as it is on the tasks of --eval-task. Metrics have the names of result files,
// with several tasks after the task's name and a slash; main_score is the mean of the tasks' nDCG@10.
func (t *trainee) evaluate(ctx context.Context, e train.Encoder) (map[string]float64, error) {
	dir, err := os.MkdirTemp("", "graft-eval-*")
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	defer os.RemoveAll(dir) // what is kept stands in the log
	outcomes, err := evaluate.Run(ctx, evaluate.Options{
		Tasks: t.options.train.EvalTasks, Data: t.options.train.EvalData, HubCache: convert.HubFromEnv(os.Getenv).CacheDir, Out: dir,
		Model: evaluate.ModelMeta{Name: modelName(t.model.Path), Similarity: t.similarity()},
		Encoder: func(evaluate.Task) (evaluate.Encoder, evaluate.EncoderSettings, error) {
			return inTraining{e}, evaluate.EncoderSettings{Model: t.model.Path}, nil
		},
		Warn: t.warn,
		Progress: func(g evaluate.Progress) {
			t.progress.draw(fmt.Sprintf("%s %s: %d of %d", g.Task, g.Phase, g.Done, g.Total), false)
		},
	})
	if err != nil {
		return nil, err
	}
	return metrics(outcomes), nil
}

// metrics are the scores of all tasks in one table.
func metrics(outcomes []*evaluate.Outcome) map[string]float64 {
	all := map[string]float64{}
	for _, out := range outcomes {
		for _, s := range out.Result.Splits {
			for _, e := range s.Entries {
				all[mainScore] += e.MainScore / float64(len(outcomes))
				for _, score := range e.Scores {
					if math.IsNaN(score.Value) {
						continue // nAUC of equal scores; JSON has no such number
					}
					name := score.Key
					if len(outcomes) > 1 {
						name = out.Task.Name + "/" + name
					}
					all[name] = score.Value
				}
			}
		}
	}
	return all
}

// evaluationColumns are the metrics that are shown: those that eval shows of a single task, else each task's main score.
func evaluationColumns(all map[string]float64) []string {
	if _, single := all[evaluate.MainScore]; single {
		return shownScores
	}
	var names []string
	for name := range all {
		if len(name) > len(evaluate.MainScore) && name[len(name)-len(evaluate.MainScore)-1:] == "/"+evaluate.MainScore {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return append([]string{mainScore}, names...)
}

// inTraining lets the evaluation use the model that is being trained.
type inTraining struct{ encoder train.Encoder }

// Encode implements evaluate.Encoder.
func (i inTraining) Encode(ctx context.Context, texts []string, role evaluate.Role, done func(int)) (evaluate.Matrix, error) {
	finished := 0
	data, err := i.encoder.Encode(ctx, texts, role == evaluate.QueryRole, func(n int) {
		finished += n
		done(finished)
	})
	if err != nil {
		return evaluate.Matrix{}, err
	}
	return evaluate.Matrix{Rows: len(texts), Dim: i.encoder.Dim(), Data: data}, nil
}
