package prune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"graft/graph"
)

// Activations runs graphs on the user's texts.
type Activations interface {
	// Record runs m on all texts and hands over values, computed in m, batch by batch. mask is
	// [rows, length], 1 at real tokens; each of the values has as many rows of features, one per
	// token, in row-major order. Neither may be kept when use returns.
	Record(ctx context.Context, m *graph.Model, values []*graph.Value, use func(mask []int64, values [][]float32) error) error
}

// Quality scores a model on a task; more is better.
type Quality func(ctx context.Context, m *graph.Model) (float64, error)

// Options say which layers go. Layers and Keep exclude each other; with neither, nothing goes, and
// layers are scored where there is something to measure with.
type Options struct {
	Layers    int    // how many, those of the lowest score first
	Keep      []int  // or which stay, counted from 0
	Criterion string // a name in Criteria; "" is the first

	Activations Activations // what criteria measure with
	Quality     Quality     // for those that ask for it
}

// scores reports whether there is something to measure layers with.
func (o *Options) scores() bool { return o.Activations != nil || o.Quality != nil }

// Plan is what is to be done to the layers of a graph, and why.
type Plan struct {
	Criterion string  `json:"criterion,omitempty"` // "" where the layers to keep were given
	Layers    []Layer `json:"layers"`              // all of them, first to last; none where nothing is asked of them and none are recognized
	Order     []int   `json:"order,omitempty"`     // those that were ranked, least important first
}

// Layer is one transformer block in a plan.
type Layer struct {
	Index int      `json:"index"`           // from 0
	Name  string   `json:"name,omitempty"`  // what its weights' names begin with, where they say it
	Score *float64 `json:"score,omitempty"` // its importance by the criterion; nil where nothing was measured
	Kept  bool     `json:"kept"`
}

// Kept and Removed are the layers that stay and those that go, ascending.
func (p *Plan) Kept() []int    { return p.where(true) }
func (p *Plan) Removed() []int { return p.where(false) }

func (p *Plan) where(kept bool) []int {
	list := []int{}
	for _, l := range p.Layers {
		if l.Kept == kept {
			list = append(list, l.Index)
		}
	}
	return list
}

// New plans what o asks for. It changes nothing in m.
func New(ctx context.Context, m *graph.Model, o Options) (*Plan, error) {
	p, err := newPlan(ctx, m, o)
	if err != nil {
		return nil, fmt.Errorf("plan pruning: %w", err)
	}
	return p, nil
}

func newPlan(ctx context.Context, m *graph.Model, o Options) (*Plan, error) {
	layers, err := find(m)
	if err != nil && !o.scores() && o.Layers == 0 && o.Keep == nil {
		return &Plan{}, nil // the layers stay, whatever they are
	}
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	for i, l := range layers {
		p.Layers = append(p.Layers, Layer{Index: i, Name: l.Name, Kept: true})
	}
	switch {
	case o.Keep != nil && o.Layers != 0:
		return nil, errors.New("either a number of layers to remove or the layers to keep, not both")
	case o.Keep != nil:
		return p, p.keep(o.Keep)
	case o.Layers < 0 || o.Layers >= len(layers):
		return nil, fmt.Errorf("%d layers are to go, but the model has %d and one must stay", o.Layers, len(layers))
	case o.Layers == 0 && !o.scores():
		return p, nil
	}
	c, err := criterionNamed(o.Criterion)
	if err != nil {
		return nil, err
	}
	p.Criterion = c.Name
	return p, p.rank(ctx, m, c, o)
}

// keep marks the layers that stay.
func (p *Plan) keep(list []int) error {
	for i := range p.Layers {
		p.Layers[i].Kept = false
	}
	for _, i := range list {
		switch {
		case i < 0 || i >= len(p.Layers):
			return fmt.Errorf("layer %d is to stay, but the model has layers 0 to %d", i, len(p.Layers)-1)
		case p.Layers[i].Kept:
			return fmt.Errorf("layer %d is to stay twice", i)
		}
		p.Layers[i].Kept = true
	}
	if len(list) == 0 {
		return errors.New("one layer must stay")
	}
	return nil
}

// rank scores the layers and marks those that go: all at once, or one by one where the criterion
// scores again after each.
func (p *Plan) rank(ctx context.Context, m *graph.Model, c Criterion, o Options) error {
	rounds, each := 1, o.Layers
	if c.rescore && o.Layers > 1 {
		rounds, each = o.Layers, 1
	}
	for range rounds {
		left := p.Kept()
		smaller := m.Clone()
		if err := cut(smaller, left); err != nil {
			return err
		}
		scores, err := c.score(ctx, smaller, o)
		if err != nil {
			return fmt.Errorf("criterion %s: %w", c.Name, err)
		}
		for i, layer := range left {
			p.Layers[layer].Score = &scores[i]
		}
		slices.SortStableFunc(left, func(a, b int) int { return cmp.Compare(*p.Layers[a].Score, *p.Layers[b].Score) })
		for _, layer := range left[:each] {
			p.Layers[layer].Kept = false
		}
		p.Order = append(p.Order, left[:each]...)
	}
	rest := p.Kept()
	slices.SortStableFunc(rest, func(a, b int) int { return cmp.Compare(*p.Layers[a].Score, *p.Layers[b].Score) })
	p.Order = append(p.Order, rest...)
	return nil
}
