//go:build !lite

package loss

import (
	"fmt"
	"strings"
)

// Config says what a batch's embeddings are trained for.
type Config struct {
	Objective   string  // the Name of one of Objectives
	Temperature float64 // similarities are divided by it; without Normalize it is 1, as in PaddleNLP's example
	Margin      float64 // subtracted from the positive's similarity, where the objective has a margin
	Normalize   bool    // similarities are cosines, else inner products

	Dims       []int     // widths that are trained, each from the first feature on (Matryoshka); nil: the full one alone
	DimWeights []float64 // of the losses at Dims, which are added up; nil: 1 each

	Distill       string  // the Name of one of Distillations; "": none
	DistillWeight float64 // of a distillation beside the objective

	// Rows is how many queries are scored at a time; 0: as many as keep their scores under 64 MiB.
	Rows int
}

// Loss is a Config that was checked.
type Loss struct {
	Config
	objective    *Objective
	distillation *Distillation // nil: none
}

// New checks a configuration for embeddings of width features.
func New(c Config, width int) (*Loss, error) {
	l := &Loss{Config: c}
	if !l.Normalize {
		l.Temperature = 1
	}
	if !(l.Temperature > 0) {
		return nil, fmt.Errorf("loss: temperature %v is not above 0", c.Temperature)
	}
	var names []string
	for _, o := range Objectives {
		names = append(names, o.Name)
		if o.Name == c.Objective {
			l.objective = o
		}
	}
	if l.objective == nil {
		return nil, fmt.Errorf("loss: objective %q is not known; known: %s", c.Objective, strings.Join(names, ", "))
	}
	names = nil
	for _, d := range Distillations {
		names = append(names, d.Name)
		if d.Name == c.Distill {
			l.distillation = d
		}
	}
	if l.distillation == nil && c.Distill != "" {
		return nil, fmt.Errorf("loss: distillation %q is not known; known: %s", c.Distill, strings.Join(names, ", "))
	}
	if l.distillation != nil && !l.distillation.Vectors && l.objective.PositivesOnly {
		return nil, fmt.Errorf("loss: %s needs the passages of each query, of which the objective %q reads one", c.Distill, c.Objective)
	}
	if len(l.Dims) == 0 {
		l.Dims = []int{width}
	}
	if l.DimWeights == nil {
		l.DimWeights = ones(len(l.Dims))
	}
	if err := checkDims(l.Dims, l.DimWeights, width); err != nil {
		return nil, fmt.Errorf("loss: %w", err)
	}
	return l, nil
}

// Passages is how many of a query's group passages the objective reads, from the positive on.
func (l *Loss) Passages(group int) int {
	if l.objective.PositivesOnly {
		return 1
	}
	return group
}

// Check refuses batches in which a query has fewer than two candidates: a softmax over one is 0 whatever the model
// does. group counts the passages of a query, world the processes whose batches are joined.
func (l *Loss) Check(queries, group, world int) error {
	inBatch, hard := l.objective.Negatives(queries*world, group)
	switch d := l.distillation; {
	case d == nil:
	case !d.Compares:
		return nil
	case d.Vectors: // of all passages; of the least there are two beside a text itself
		inBatch, hard = queries*world*group-2, 0
	default:
		inBatch, hard = 0, group-1 // it reads the query's own passages alone
	}
	if inBatch+hard < 1 {
		return fmt.Errorf("loss: %d queries with %d passages each leave no negative to tell the positive from; take larger batches or groups", queries*world, group)
	}
	return nil
}

// ReadsVectors says whether the loss reads a teacher's vectors, so that a row may be a text alone.
func (l *Loss) ReadsVectors() bool { return l.distillation != nil && l.distillation.Vectors }

// Describe says in one sentence what a batch of queries with group passages each is trained for. world counts the
// processes whose batches are joined.
func (l *Loss) Describe(queries, group, world int) string {
	var parts []string
	if l.distillation == nil || !l.distillation.Alone {
		inBatch, hard := l.objective.Negatives(queries, group)
		all, _ := l.objective.Negatives(queries*world, group)
		text := fmt.Sprintf("softmax over %d candidates: %d in-batch, %d hard", 1+all+hard, inBatch, hard)
		if all > inBatch {
			text += fmt.Sprintf(", %d cross-device", all-inBatch)
		}
		parts = append(parts, text)
	}
	switch {
	case l.distillation == nil:
	case !l.distillation.Compares:
		return strings.Join([]string{"1 - cosine to the teacher's vectors", l.describeDims()}, "; ")
	case l.distillation.Vectors:
		parts = append(parts, fmt.Sprintf("kl to the teacher's similarities with %d passages", queries*group*world))
	case l.distillation.Alone:
		parts = append(parts, fmt.Sprintf("%s to the teacher over %d passages", l.Distill, group))
	default:
		parts = append(parts, fmt.Sprintf("plus %g × %s to the teacher over %d passages", l.DistillWeight, l.Distill, group))
	}
	parts = append(parts, fmt.Sprintf("temperature %g", l.Temperature))
	if l.objective.HasMargin && !l.ReadsVectors() {
		parts = append(parts, fmt.Sprintf("margin %g", l.Margin))
	}
	return strings.Join(append(parts, l.describeDims()), "; ")
}

func (l *Loss) describeDims() string {
	dims := make([]string, len(l.Dims))
	for i, d := range l.Dims {
		dims[i] = fmt.Sprint(d)
		if w := l.DimWeights[i]; w != 1 {
			dims[i] += fmt.Sprintf(" (× %g)", w)
		}
	}
	return "dims " + strings.Join(dims, " + ")
}
