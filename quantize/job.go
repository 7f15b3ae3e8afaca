package quantize

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"graft/graph"
	"graft/graph/pass"
)

// job is the rewriting of one graph. Each attempt works on a copy of its own, because MaxLoss asks
// for several.
type job struct {
	Options
	ctx      context.Context
	scheme   Scheme
	original *graph.Model // as it was given
	source   *graph.Model // lowered, in float32 (or in the scheme's 16 bits)

	apart       bool            // outliers are computed apart
	calibration *calibration    // what was measured on source; shared by all attempts
	excluded    map[string]bool // modules that stay in float32 for MaxLoss

	// Of the present attempt:
	model    *graph.Model
	b        *graph.Builder
	matrices []*matrix // those to quantize
	layers   []Layer
	rounding []*rounding
}

func newJob(ctx context.Context, m *graph.Model, s Scheme, o Options) (*job, error) {
	source, err := s.lower(m, o.Target)
	if err != nil {
		return nil, err
	}
	matrices(source.Graph) // splits Gemms, so that copies have none
	if err := graph.Infer(source); err != nil {
		return nil, err
	}
	return &job{Options: o, ctx: ctx, scheme: s, original: m, source: source, excluded: map[string]bool{}}, nil
}

// plan settles everything.
func (j *job) plan() (*Plan, error) {
	if j.scheme.apply != nil && !slices.ContainsFunc(matrices(j.source.Graph), func(m *matrix) bool { return !m.matches(j.Exclude) }) {
		return nil, errors.New("every product is excluded: nothing is left to quantize")
	}
	if err := j.calibrate(); err != nil {
		return nil, err
	}
	if err := j.attempt(); err != nil {
		return nil, err
	}
	p := &Plan{Scheme: j.scheme.Name, Target: j.Target, Method: j.scheme.method(j.Options)}
	if err := j.withinLoss(p); err != nil {
		return nil, err
	}
	p.model, p.Layers, p.rounding = j.model, j.layers, j.rounding
	p.Before, p.After = weightBytes(j.source), weightBytes(j.model)
	if j.scheme.dtype != graph.Undefined { // lowering narrowed what was float32
		p.Before = 0
		for _, l := range p.Layers {
			p.Before += l.Before
		}
	}
	return p, nil
}

// attempt rewrites a copy of the source.
func (j *job) attempt() error {
	j.model, j.layers, j.rounding = j.source.Clone(), nil, nil
	g := j.model.Graph
	j.b = graph.NewBuilder(g, nil)
	j.matrices = nil
	for _, m := range matrices(g) {
		if m.matches(j.Exclude) || j.excluded[m.name] {
			j.layers = append(j.layers, kept(m.name, "MatMul", m.weight))
			continue
		}
		j.matrices = append(j.matrices, m)
	}
	if j.scheme.apply == nil {
		j.halves()
		return graph.Check(j.model)
	}
	if err := j.scheme.apply(j); err != nil {
		return err
	}
	j.tables()
	return j.finish()
}

// tables quantizes the tables of embeddings.
func (j *job) tables() {
	for _, t := range tables(j.model.Graph) {
		if t.matches(j.Exclude) || j.excluded[t.name] {
			j.layers = append(j.layers, kept(t.name, "Gather", t.weight))
			continue
		}
		form := "int8 per row"
		if block := t.block(j.scheme); block < t.weight.Init.Shape[1] {
			form = fmt.Sprintf("int8 in blocks of %d", block)
		}
		j.add(t.name, "Gather", t.weight, form, t.quantize(j))
	}
}

// finish makes the rewritten graph a valid one without what nothing reads any more.
func (j *job) finish() error {
	m := j.model
	if err := j.b.Err(); err != nil {
		return err
	}
	if err := m.Graph.Sort(); err != nil {
		return err
	}
	if _, err := pass.Run(m, pass.Dead); err != nil {
		return err
	}
	m.Graph.Walk(func(n *graph.Node) {
		if n.Domain == graph.Microsoft {
			m.SetOpset(graph.Microsoft, 1)
		}
	})
	return graph.Check(m)
}

// rounded notes what became of a matrix.
func (j *job) rounded(m *matrix, form string, r *rounding) {
	j.add(m.name, "MatMul", m.weight, form, r)
}

// add notes what became of a weight.
func (j *job) add(name, kind string, w *graph.Value, form string, r *rounding) {
	r.name, j.rounding = w.Name, append(j.rounding, r)
	j.layers = append(j.layers, Layer{
		Name: name, Kind: kind, Shape: w.Init.Shape, Form: form, Before: w.Init.Size(), After: r.bytes(), Error: &r.error,
	})
}

// kept is the layer of a weight that stays as it is.
func kept(name, kind string, w *graph.Value) Layer {
	return Layer{Name: name, Kind: kind, Shape: w.Init.Shape, Form: w.Init.DType.String(), Before: w.Init.Size(), After: w.Init.Size()}
}

// weightBytes is the size of all weights of m.
func weightBytes(m *graph.Model) int64 {
	var n int64
	for _, v := range m.Graph.Initializers {
		n += max(v.Init.Size(), 0)
	}
	return n
}
