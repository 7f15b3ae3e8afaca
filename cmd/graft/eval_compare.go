package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"graft/evaluate"
)

// difference is how a model's main score on a task differs from that of the first model.
type difference struct {
	Model      string  `json:"model"`
	Task       string  `json:"task"`
	Metric     string  `json:"metric"`
	Difference float64 `json:"difference"`
	Low        float64 `json:"low"` // 95% bootstrap confidence interval
	High       float64 `json:"high"`
	Better     int     `json:"better"` // queries
	Worse      int     `json:"worse"`
}

// compareReports compares each model with the first on every task of which there are values per query.
func compareReports(reports []evalReport) ([]difference, error) {
	var all []difference
	for i := 1; i < len(reports); i++ {
		for _, task := range reports[i].Tasks {
			first := perQueryFile(reports[0], task.Task)
			own := perQueryFile(reports[i], task.Task)
			if first == "" || own == "" {
				continue
			}
			a, err := evaluate.ReadPerQuery(first, evaluate.MainScore)
			if err != nil {
				return nil, err
			}
			b, err := evaluate.ReadPerQuery(own, evaluate.MainScore)
			if err != nil {
				return nil, err
			}
			c, err := evaluate.Compare(a, b)
			if err != nil {
				return nil, fmt.Errorf("task %q: %w", task.Task, err)
			}
			all = append(all, difference{reports[i].Model, task.Task, evaluate.MainScore, c.Difference, c.Low, c.High, c.Better, c.Worse})
		}
	}
	return all, nil
}

// perQueryFile is the file of a task's values per query, "" where there is none.
func perQueryFile(r evalReport, task string) string {
	for _, t := range r.Tasks {
		for _, file := range t.Files {
			if t.Task == task && strings.HasSuffix(file, ".per_query.tsv") {
				return file
			}
		}
	}
	return ""
}

func printDifferences(w io.Writer, list []difference) {
	if len(list) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "against the first\ttask\tΔ %s\t95%% interval\tbetter\tworse\n", list[0].Metric)
	for _, d := range list {
		fmt.Fprintf(t, "%s\t%s\t%+.5f\t%+.5f … %+.5f\t%d\t%d\n", d.Model, d.Task, d.Difference, d.Low, d.High, d.Better, d.Worse)
	}
	t.Flush()
}
