package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"graft/graph"
	"graft/prune"
)

// pruneReport is what prune prints.
type pruneReport struct {
	*prune.Plan
	Kept     []int    `json:"kept"`
	Removed  []int    `json:"removed"`
	Weights  int64    `json:"weights_before"`    // numbers in the graph's weights
	Left     int64    `json:"weights,omitempty"` // the same afterwards
	Output   string   `json:"output,omitempty"`
	File     string   `json:"file,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// weights counts the numbers in a graph's floating-point weights.
func weights(m *graph.Model) int64 {
	n := int64(0)
	for _, v := range m.Graph.Initializers {
		if v.Init.DType.IsFloat() {
			n += v.Init.Len()
		}
	}
	return n
}

func (r *pruneReport) printPlan(w io.Writer) {
	score := r.Criterion
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "layer\tname\t%s\t\n", score)
	for _, l := range r.Layers {
		value := ""
		if l.Score != nil {
			value = fmt.Sprintf("%.4f", *l.Score)
		}
		fate := "kept"
		if !l.Kept {
			fate = "removed"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", l.Index, l.Name, value, fate)
	}
	t.Flush()
}

func (r *pruneReport) printResult(w io.Writer) {
	if r.File == "" {
		return
	}
	fmt.Fprintf(w, "%d of %d layers, %d of %d weights\n%s\n", len(r.Kept), len(r.Layers), r.Left, r.Weights, r.File)
}
