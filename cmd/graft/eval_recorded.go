package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"graft/evaluate"
)

// recorded is what the reference recorded of the preset's system on a task, in percent.
func (o *presetOptions) recorded(task string) map[string]float64 {
	if o.Preset == nil {
		return nil
	}
	return evaluate.Recorded(o.Name, task)
}

// named is the preset's name, "" where there is none.
func (o *presetOptions) named() string {
	if o.Preset == nil {
		return ""
	}
	return o.Name
}

// length is the preset's longest text in a role, in tokens; examples do not count against a query. 0: it says nothing.
func (o *presetOptions) length(role evaluate.Role, e *encoder) int {
	switch {
	case o.Preset == nil:
		return 0
	case role == evaluate.DocumentRole:
		return o.DocumentMaxLength
	}
	return o.QueryMaxLength + e.Tokens(o.examplesText)
}

// printRecorded prints the scores that the reference recorded beside those of whole tasks, and says where a task was not whole.
func printRecorded(w io.Writer, reports []evalReport) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "preset\ttask\tmetric\trecorded\there\tdifference\n"
	var partial []string
	for _, r := range reports {
		for _, task := range r.Tasks {
			if len(task.Recorded) > 0 && !task.Whole {
				partial = append(partial, fmt.Sprintf("%s: not the whole task (%d queries, %d documents): what the reference recorded of %s is not comparable", task.Task, task.Queries, task.Documents, r.Preset))
				continue
			}
			for _, metric := range evaluate.RecordedMetrics {
				score, ok := task.Scores[metric]
				if recorded, known := task.Recorded[metric]; ok && known {
					fmt.Fprintf(t, "%s%s\t%s\t%s\t%.2f\t%.2f\t%+.2f\n", head, r.Preset, task.Task, metric, recorded, 100*score, 100*score-recorded)
					head = ""
				}
			}
		}
	}
	t.Flush()
	for _, line := range partial {
		fmt.Fprintln(w, line)
	}
}
