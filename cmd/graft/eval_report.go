package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"graft/evaluate"
)

// evalReport is what eval prints of one model.
type evalReport struct {
	Model     string         `json:"model"`
	Preset    string         `json:"preset,omitempty"`
	Provider  string         `json:"provider"`
	Precision string         `json:"precision"`
	Nodes     map[string]int `json:"nodes,omitempty"` // of the graph, by the provider that runs them
	Tasks     []taskReport   `json:"tasks"`
}

type taskReport struct {
	Task    string             `json:"task"`
	Split   string             `json:"split"`
	Seconds float64            `json:"seconds"`
	Reused  bool               `json:"reused"`
	Scores  map[string]float64 `json:"scores"`
	Files   []string           `json:"files"`

	Queries   int                `json:"queries"`
	Documents int                `json:"documents"`
	Whole     bool               `json:"whole"`              // of the task
	Recorded  map[string]float64 `json:"recorded,omitempty"` // by the reference, in percent
}

func reportTask(out *evaluate.Outcome) taskReport {
	r := taskReport{Task: out.Task.Name, Seconds: out.Result.EvaluationTime, Reused: out.Reused, Files: out.Files, Scores: map[string]float64{},
		Queries: out.Queries, Documents: out.Documents, Whole: out.Whole()}
	for _, s := range out.Result.Splits {
		r.Split = s.Split
		for _, e := range s.Entries {
			for _, name := range shownScores {
				if v, ok := e.Score(name); ok {
					r.Scores[name] = v
				}
			}
		}
	}
	return r
}

// shownScores are the columns of eval's table; the result file has all.
var shownScores = []string{"ndcg_at_10", "recall_at_10", "recall_at_100", "map_at_10", "mrr_at_10"}

func printScores(w io.Writer, reports []evalReport) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "model\ttask\t%s\tseconds\n", strings.Join(shownScores, "\t"))
	for _, r := range reports {
		for _, task := range r.Tasks {
			fmt.Fprintf(t, "%s\t%s", r.Model, task.Task)
			for _, name := range shownScores {
				fmt.Fprintf(t, "\t%.5f", task.Scores[name])
			}
			fmt.Fprintf(t, "\t%.1f\n", task.Seconds)
		}
	}
	t.Flush()
	for _, r := range reports {
		for _, task := range r.Tasks {
			if len(task.Files) > 0 {
				fmt.Fprintf(w, "%s: %s\n", task.Task, task.Files[0])
			}
		}
	}
}

// gate is a --min.
type gate struct {
	metric string
	least  float64
}

func parseGates(list []string) ([]gate, error) {
	var gates []gate
	for _, s := range list {
		metric, value, _ := strings.Cut(s, "=")
		least, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, usagef("eval: --min %q is not METRIC=VALUE", s)
		}
		if !slices.Contains(evaluate.ScoreKeys(), metric) {
			return nil, withHint(usagef("eval: --min names the metric %q, which the results do not have", metric), "they have main_score, ndcg_at_10, recall_at_100 and the like")
		}
		gates = append(gates, gate{metric, least})
	}
	return gates, nil
}

func checkGates(gates []gate, outcomes []*evaluate.Outcome) error {
	for _, g := range gates {
		for _, out := range outcomes {
			if out.Pending {
				continue
			}
			for _, s := range out.Result.Splits {
				for _, e := range s.Entries {
					v, ok := e.Score(g.metric)
					if !ok { // a result that was read, and that another program wrote
						return checkf("task %q: the result has no %s", out.Task.Name, g.metric)
					}
					if !(v >= g.least) { // nor a score that is no number
						return checkf("task %q: %s is %.5f, less than the least that is wanted, %g", out.Task.Name, g.metric, v, g.least)
					}
				}
			}
		}
	}
	return nil
}
