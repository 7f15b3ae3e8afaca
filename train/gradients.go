//go:build !lite

package train

import (
	"context"
	"fmt"
	"slices"

	"graft/train/torch"
)

// Gradients runs m forwards and backwards on the training rows, each once, without dropout, and hands over the gradient
// of each batch's loss by each of the weights, the names of initializers, in float32 and in their layout. Nothing moves,
// and nothing is written but token ids, see Options.CacheDir. What of o is about moving and writing is not read; of h,
// Progress and Warn are.
func Gradients(ctx context.Context, m Model, o Options, h Hooks, weights []string, use func(gradients [][]float32) error) error {
	o.Dropout, o.FineTuneType = 0, "sft"
	defer torch.Lock()()
	r := newRun(m, o, h)
	defer r.Close()
	if err := r.readData(ctx); err != nil {
		return err
	}
	a, err := adapt(m, o, r.hooks.Warn)
	if err != nil {
		return err
	}
	if err := r.build(a.model, func(name string) bool { return slices.Contains(weights, name) }); err != nil {
		return err
	}
	tensors, err := r.named(weights)
	if err != nil {
		return err
	}
	r.arithmetic.steps = 1
	batches := r.sampler.Batches(0)
	for i := range batches {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		gradients, err := r.gradients(i, tensors)
		if err != nil {
			return fmt.Errorf("batch %d: %w", i+1, err)
		}
		if err := use(gradients); err != nil {
			return err
		}
		r.hooks.Progress(Progress{Step: i + 1, Steps: batches})
	}
	return nil
}

// named are the program's parameters of these names.
func (r *run) named(names []string) ([]*torch.Tensor, error) {
	byName := map[string]*torch.Tensor{}
	for _, p := range r.program.Parameters() {
		byName[p.Name] = p.Tensor
	}
	list := make([]*torch.Tensor, len(names))
	for i, name := range names {
		if list[i] = byName[name]; list[i] == nil {
			return nil, fmt.Errorf("the embedding does not depend on a weight %q", name)
		}
	}
	return list, nil
}

// gradients are those of one batch's loss by the tensors.
func (r *run) gradients(batch int, tensors []*torch.Tensor) ([][]float32, error) {
	b, err := r.sampler.Batch(0, batch)
	if err != nil {
		return nil, fmt.Errorf("read batch: %w", err)
	}
	if _, err := r.arithmetic.accumulate(b, 1); err != nil {
		return nil, err
	}
	defer torch.ZeroGrads(tensors)
	s := torch.NewScope()
	defer s.Close()
	list := make([][]float32, len(tensors))
	for i, t := range tensors {
		g := s.Own(t.Grad())
		if g == nil {
			list[i] = make([]float32, t.Len())
			continue
		}
		if list[i], err = g.Float32s(); err != nil {
			return nil, err
		}
	}
	return list, nil
}
