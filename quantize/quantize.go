package quantize

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"graft/graph"
	"graft/graph/pass"
)

// Activations runs graphs on the user's texts.
type Activations interface {
	// Record runs m on all texts and hands over values, computed in m, batch by batch. mask is
	// [rows, length], 1 at real tokens; each of the values has as many rows of features, one per
	// token, in row-major order. Neither may be kept when use returns.
	Record(ctx context.Context, m *graph.Model, values []*graph.Value, use func(mask []int64, values [][]float32) error) error
	// Products runs m on all texts and returns Xᵀ·X of each of values, [features, features] in row-major order, over the
	// rows X of all real tokens, and how many tokens these are.
	Products(ctx context.Context, m *graph.Model, values []*graph.Value) (sums [][]float32, tokens int, err error)
}

// Vectors is the embeddings that a graph gives of texts, one row each. Graphs come lowered.
type Vectors func(ctx context.Context, m *graph.Model) ([][]float32, error)

// Options say how a model is quantized.
type Options struct {
	Scheme      string         // a name in Schemes
	Target      Target         // "" is the scheme's first
	Exclude     *regexp.Regexp // products and tables that stay in float32, by module, weight or node; nil: none
	Method      string         // of calibration, a name in Methods; "" is the first
	ReduceRange bool           // weights in 7 bits, for CPUs without VNNI, whose u8·s8 products saturate
	MaxLoss     float64        // most that vectors may lose, as 1 - mean cosine; 0: no limit

	Activations Activations // schemes that calibrate need it; int8-weight and int4-weight round to nearest without
	Vectors     Vectors     // MaxLoss and a choice by measurement need it
	Log         func(format string, args ...any)
}

// Plan is what is to be done to a graph.
type Plan struct {
	Scheme  string   `json:"scheme"`
	Target  Target   `json:"target"`
	Method  string   `json:"calibration,omitempty"` // of calibration, where the scheme calibrates ranges
	Smooth  bool     `json:"smooth,omitempty"`      // scale was migrated from activations to weights
	Layers  []Layer  `json:"layers"`                // in the graph's order
	Before  int64    `json:"bytes_before"`          // of all weights
	After   int64    `json:"bytes_after"`
	Loss    *float64 `json:"loss,omitempty"`    // 1 - mean cosine to the vectors of the graph before; nil where it was not measured
	Exclude []string `json:"exclude,omitempty"` // what stays in float32 because of MaxLoss, the most sensitive first

	model    *graph.Model
	rounding []*rounding
}

// Layer is one weight in a plan.
type Layer struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"` // MatMul or Gather
	Shape  []int64  `json:"shape"`
	Form   string   `json:"form"` // how it is stored and computed
	Before int64    `json:"bytes_before"`
	After  int64    `json:"bytes_after"`
	Error  *float64 `json:"error,omitempty"` // relative error of the weights: |w - w'| / |w|, in Frobenius norms; nil where it stays, 0 until the graph is written or measured
}

// New lowers a copy of m, which must be in the IR's form, and plans what o asks for. It changes
// nothing in m.
func New(ctx context.Context, m *graph.Model, o Options) (*Plan, error) {
	p, err := newPlan(ctx, m, o)
	if err != nil {
		return nil, fmt.Errorf("quantize model: %w", err)
	}
	return p, nil
}

func newPlan(ctx context.Context, m *graph.Model, o Options) (*Plan, error) {
	s, err := SchemeNamed(o.Scheme)
	if err != nil {
		return nil, err
	}
	if o.Target, err = s.target(o.Target); err != nil {
		return nil, err
	}
	if err := refuse(m); err != nil {
		return nil, err
	}
	switch {
	case s.Calibrates() && o.Activations == nil:
		return nil, fmt.Errorf("%s needs texts to calibrate on", s.Name)
	case !(o.MaxLoss >= 0):
		return nil, fmt.Errorf("a loss of at most %g cannot be reached", o.MaxLoss)
	case o.MaxLoss > 0 && o.Vectors == nil:
		return nil, errors.New("nothing was given to measure the loss with")
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	j, err := newJob(ctx, m, s, o)
	if err != nil {
		return nil, err
	}
	return j.plan()
}

// Apply is the quantized graph, lowered for the plan's target.
func (p *Plan) Apply() *graph.Model { return p.model }

// Measure takes the relative errors of weights that were not written yet, which takes about as long as to write them.
func (p *Plan) Measure(ctx context.Context) error {
	for _, r := range p.rounding {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.measure(); err != nil {
			return fmt.Errorf("quantize model: weight %q: %w", r.name, err)
		}
	}
	return nil
}

// lower is a copy of m in the form that s starts from.
func (s Scheme) lower(m *graph.Model, t Target) (*graph.Model, error) {
	c := m.Clone()
	if err := pass.Simplify(c); err != nil {
		return nil, err
	}
	if err := pass.Lower(c, pass.LowerOptions{Target: lowered[t], Opset: s.opset[t], DType: s.dtype}); err != nil {
		return nil, err
	}
	return c, pass.Simplify(c)
}
