package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"graft/convert"
	"graft/graph"
	"graft/prune"
)

// pruneReport is what prune prints.
type pruneReport struct {
	*prune.Plan
	Width      *prune.Width      `json:"width,omitempty"`
	Vocabulary *prune.Vocabulary `json:"vocabulary,omitempty"`
	Dim        int               `json:"dim,omitempty"`
	Kept       []int             `json:"kept"`
	Removed    []int             `json:"removed"`
	Weights    int64             `json:"weights_before"`    // numbers in the graph's weights
	Left       int64             `json:"weights,omitempty"` // the same afterwards
	Output     string            `json:"output,omitempty"`
	File       string            `json:"file,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
}

// rewrite carries the plan out in the graph, and tells what config and checkpoint have to follow.
func (r *pruneReport) rewrite(g *graph.Model) (convert.Surgery, error) {
	c, err := r.Plan.Apply(g)
	if err != nil {
		return convert.Surgery{}, err
	}
	s := convert.Surgery{Names: c.Names}
	if len(r.Removed) > 0 {
		s.Layers = c.Kept
	}
	if w := r.Width; w != nil {
		s.QueryHeads, s.KeyHeads, s.HeadSize, s.Intermediate = w.QueryHeads, w.KeyHeads, w.HeadSize, w.Intermediate
		if err := w.Apply(g); err != nil {
			return s, err
		}
	}
	if v := r.Vocabulary; v != nil {
		s.Vocabulary = &convert.Vocabulary{Keep: v.Keep, Tokens: v.Tokens, Tokenizer: v.Tokenizer}
		return s, v.Apply(g)
	}
	return s, nil
}

// step is the entry in the model's history.
func (r *pruneReport) step() convert.Step {
	s := convert.Step{Command: "prune",
		Options: map[string]any{"criterion": r.Criterion, "kept": r.Kept, "removed": r.Removed},
		Changes: map[string]any{"layers": r.Layers, "weights_before": r.Weights, "weights": r.Left}}
	if r.Width != nil {
		s.Options["width_criterion"], s.Options["query_heads"], s.Options["intermediate"] = r.Width.Criterion, r.Width.QueryHeads, r.Width.Intermediate
	}
	if r.Vocabulary != nil {
		s.Options["vocabulary"] = len(r.Vocabulary.Keep)
	}
	if r.Dim > 0 {
		s.Options["dim"] = r.Dim
	}
	return s
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
	if len(r.Layers) > 0 {
		r.printLayers(w)
	}
	if r.Vocabulary != nil {
		fmt.Fprintf(w, "%d tokens kept\n", len(r.Vocabulary.Keep))
	}
	if r.Width == nil {
		return
	}
	for _, groups := range []struct {
		what string
		list []prune.Group
	}{{"heads", r.Width.Heads}, {"neurons", r.Width.Neurons}} {
		for i, g := range groups.list {
			fmt.Fprintf(w, "layer %d: %d of %d %s kept, with %.1f%% of their importance by %s\n", i, len(g.Keep), len(g.Scores), groups.what, 100*g.Share(), r.Width.Criterion)
		}
	}
}

func (r *pruneReport) printLayers(w io.Writer) {
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
	if len(r.Layers) > 0 {
		fmt.Fprintf(w, "%d of %d layers, ", len(r.Kept), len(r.Layers))
	}
	fmt.Fprintf(w, "%d of %d weights\n%s\n", r.Left, r.Weights, r.File)
}
