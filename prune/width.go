package prune

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"graft/graph"
)

// WidthOptions say how much goes of each layer; all layers are left as wide as one another, so that
// a config can say it.
type WidthOptions struct {
	Heads   float64 // of the attention heads: how many, or below 1 which share
	Neurons float64 // of the feed-forward network: the same

	Criterion   string      // a name in WidthCriteria; "" is the first
	Activations Activations // what criteria measure with
	Gradients   Gradients   // for those that ask for it
}

// Width is what stays of each layer's attention heads and neurons.
type Width struct {
	Criterion string `json:"criterion"` // what the parts were scored by

	Heads   []Group `json:"heads,omitempty"`   // by layer; nil: all stay. With grouped queries, of key heads
	Neurons []Group `json:"neurons,omitempty"` // by layer; nil: all stay

	QueryHeads   int `json:"query_heads,omitempty"` // that stay in each layer; 0: all
	KeyHeads     int `json:"key_heads,omitempty"`
	HeadSize     int `json:"head_size,omitempty"`
	Intermediate int `json:"intermediate,omitempty"` // neurons that stay in each layer; 0: all
}

// Group is the parts of one layer that are scored against each other.
type Group struct {
	Scores []float64 `json:"scores"` // importance of each
	Keep   []int     `json:"keep"`   // those that stay, ascending
}

// Share is how much of the sum of the scores stays.
func (g Group) Share() float64 {
	var kept, all float64
	for i, s := range g.Scores {
		if all += s; slices.Contains(g.Keep, i) {
			kept += s
		}
	}
	if all == 0 {
		return 1
	}
	return kept / all
}

// NewWidth plans which heads and neurons go: those of each layer that the criterion finds least important. By each
// criterion a part whose features are multiplied by 0 has importance 0.
func NewWidth(ctx context.Context, m *graph.Model, o WidthOptions) (*Width, error) {
	w, err := newWidth(ctx, m, o)
	if err != nil {
		return nil, fmt.Errorf("plan pruning: %w", err)
	}
	return w, nil
}

func newWidth(ctx context.Context, m *graph.Model, o WidthOptions) (*Width, error) {
	layers, err := find(m)
	if err != nil {
		return nil, err
	}
	attention, ffn, err := units(layers, o.Heads > 0, o.Neurons > 0)
	if err != nil {
		return nil, err
	}
	c, err := widthCriterionNamed(o.Criterion)
	if err != nil {
		return nil, err
	}
	w := &Width{Criterion: c.Name}
	var parts []parts
	if o.Heads > 0 {
		heads, err := w.planHeads(attention, o.Heads)
		if err != nil {
			return nil, err
		}
		parts = append(parts, heads...)
	}
	if o.Neurons > 0 {
		neurons, err := w.planNeurons(ffn, o.Neurons)
		if err != nil {
			return nil, err
		}
		parts = append(parts, neurons...)
	}
	scores, err := c.scores(ctx, m, parts, o)
	if err != nil {
		return nil, fmt.Errorf("criterion %s: %w", c.Name, err)
	}
	for i, p := range parts {
		list := &w.Neurons
		if p.attention != nil {
			list = &w.Heads
		}
		*list = append(*list, group(scores[i], p.gone))
	}
	return w, nil
}

// parts are what a unit's features are cut into, one behind the other and all of one size: heads, or neurons.
type parts struct {
	*unit
	size int // features of each
	gone int // of the parts so many go
}

// planHeads says how many heads of each layer go; queries that share a key and value go with it.
func (w *Width) planHeads(attention []*unit, wanted float64) ([]parts, error) {
	var list []parts
	for i, u := range attention {
		n := u.features()
		q, kv := int(u.attention.Int("q_num_heads", 0)), int(u.attention.Int("kv_num_heads", 0))
		if q < 1 || kv < 1 || q%kv != 0 || n%q != 0 {
			return nil, fmt.Errorf("layer %d: %d features of %d query heads and %d key heads", i, n, q, kv)
		}
		keys := wanted
		if wanted >= 1 {
			if int(wanted)%(q/kv) != 0 {
				return nil, fmt.Errorf("%g heads are to go, but %d queries share a key: a multiple of %d can go", wanted, q/kv, q/kv)
			}
			keys = wanted / float64(q/kv)
		}
		gone, err := count(keys, kv, "heads", i)
		if err != nil {
			return nil, err
		}
		list = append(list, parts{u, n / kv, gone})
		w.KeyHeads, w.QueryHeads, w.HeadSize = kv-gone, (kv-gone)*(q/kv), n/q
	}
	return list, nil
}

// planNeurons says how many neurons of each layer go.
func (w *Width) planNeurons(ffn []*unit, wanted float64) ([]parts, error) {
	var list []parts
	for i, u := range ffn {
		gone, err := count(wanted, u.features(), "neurons", i)
		if err != nil {
			return nil, err
		}
		list = append(list, parts{u, 1, gone})
		w.Intermediate = u.features() - gone
	}
	return list, nil
}

// count is how many of n parts go: so many, or a share.
func count(wanted float64, n int, what string, layer int) (int, error) {
	gone := int(wanted)
	if wanted < 1 {
		gone = int(wanted * float64(n))
	}
	if gone < 1 || gone >= n {
		return 0, fmt.Errorf("%g of the %s are to go, but layer %d has %d: at least one must go and one stay", wanted, what, layer, n)
	}
	return gone, nil
}

// group keeps all but the gone least important; of equals, the last go first.
func group(scores []float64, gone int) Group {
	order := indices(len(scores))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	keep := order[:len(scores)-gone]
	slices.Sort(keep)
	return Group{Scores: scores, Keep: keep}
}

// Apply takes the heads and neurons out of m. If it fails, m is not to be used any more.
func (w *Width) Apply(m *graph.Model) error {
	if err := w.apply(m); err != nil {
		return fmt.Errorf("prune width: %w", err)
	}
	return nil
}

func (w *Width) apply(m *graph.Model) error {
	if err := graph.Infer(m); err != nil {
		return err
	}
	layers, err := find(m)
	if err != nil {
		return err
	}
	attention, ffn, err := units(layers, len(w.Heads) > 0, len(w.Neurons) > 0)
	if err != nil {
		return err
	}
	for i, g := range w.Neurons {
		if err := narrow(m.Graph, ffn[i], g.Keep, nil, 0, 0); err != nil {
			return fmt.Errorf("layer %d: feed-forward network: %w", i, err)
		}
	}
	for i, g := range w.Heads {
		queries := w.QueryHeads / w.KeyHeads * w.HeadSize
		if err := narrow(m.Graph, attention[i], spread(g.Keep, queries), spread(g.Keep, w.HeadSize), w.QueryHeads, w.KeyHeads); err != nil {
			return fmt.Errorf("layer %d: attention: %w", i, err)
		}
	}
	return finish(m)
}

// spread are the features of groups of size each.
func spread(groups []int, size int) []int {
	var list []int
	for _, g := range groups {
		for i := range size {
			list = append(list, g*size+i)
		}
	}
	return list
}
