package prune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"graft/graph"
)

// WidthOptions say how much goes of each layer; all layers are left as wide as one another, so that
// a config can say it.
type WidthOptions struct {
	Heads   float64 // of the attention heads: how many, or below 1 which share
	Neurons float64 // of the feed-forward network: the same

	Activations Activations
}

// Width is what stays of each layer's attention heads and neurons.
type Width struct {
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

// NewWidth plans which heads and neurons go. Each feature that reaches the last product of an attention or of a
// feed-forward network is as important as its root mean square over real tokens times the length of its row
// in that product's weight (Sun et al. 2023, Wanda, summed over the row); a head is as important as its
// features together. A part of importance 0 adds nothing to any text that was measured.
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
	attention, ffn, err := units(layers)
	if err != nil {
		return nil, err
	}
	if o.Activations == nil {
		return nil, errors.New("there is nothing to run the model with")
	}
	w := &Width{}
	if o.Heads > 0 {
		if err := w.planHeads(ctx, m, attention, o); err != nil {
			return nil, err
		}
	}
	if o.Neurons > 0 {
		scores, err := importance(ctx, m, ffn, o.Activations)
		if err != nil {
			return nil, err
		}
		for i, s := range scores {
			gone, err := count(o.Neurons, len(s), "neurons", i)
			if err != nil {
				return nil, err
			}
			w.Neurons, w.Intermediate = append(w.Neurons, group(s, gone)), len(s)-gone
		}
	}
	return w, nil
}

// planHeads scores heads; queries that share a key and value go with it.
func (w *Width) planHeads(ctx context.Context, m *graph.Model, attention []*unit, o WidthOptions) error {
	scores, err := importance(ctx, m, attention, o.Activations)
	if err != nil {
		return err
	}
	for i, s := range scores {
		a := attention[i].attention
		q, kv := int(a.Int("q_num_heads", 0)), int(a.Int("kv_num_heads", 0))
		if q < 1 || kv < 1 || q%kv != 0 || len(s)%q != 0 {
			return fmt.Errorf("layer %d: %d features of %d query heads and %d key heads", i, len(s), q, kv)
		}
		each := len(s) / kv
		heads := make([]float64, kv)
		for h := range heads {
			for _, x := range s[h*each : (h+1)*each] {
				heads[h] += x * x
			}
			heads[h] = math.Sqrt(heads[h])
		}
		wanted := o.Heads
		if wanted >= 1 {
			if int(wanted)%(q/kv) != 0 {
				return fmt.Errorf("%g heads are to go, but %d queries share a key: a multiple of %d can go", wanted, q/kv, q/kv)
			}
			wanted /= float64(q / kv)
		}
		gone, err := count(wanted, kv, "heads", i)
		if err != nil {
			return err
		}
		w.Heads = append(w.Heads, group(heads, gone))
		w.KeyHeads, w.QueryHeads, w.HeadSize = kv-gone, (kv-gone)*(q/kv), len(s)/q
	}
	return nil
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

// importance scores the features of units, a list for each.
func importance(ctx context.Context, m *graph.Model, list []*unit, a Activations) ([][]float64, error) {
	values := make([]*graph.Value, len(list))
	squares := make([][]float64, len(list))
	for i, u := range list {
		values[i], squares[i] = u.out.node.Input(0), make([]float64, u.features())
	}
	tokens := 0
	err := a.Record(ctx, m, values, func(mask []int64, got [][]float32) error {
		for t, real := range mask {
			if real == 0 {
				continue
			}
			tokens++
			for i := range list {
				for j, x := range row(got[i], t, len(mask)) {
					squares[i][j] += float64(x) * float64(x)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if tokens == 0 {
		return nil, errors.New("the texts have no tokens")
	}
	for i, u := range list {
		lengths, err := rowLengths(u.out)
		if err != nil {
			return nil, err
		}
		for j := range squares[i] {
			squares[i][j] = math.Sqrt(squares[i][j]/float64(tokens)) * lengths[j]
		}
		if slices.ContainsFunc(squares[i], func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }) {
			return nil, fmt.Errorf("layer %d: activations are not finite on these texts", u.layer)
		}
	}
	return squares, nil
}

// rowLengths are the lengths of the weights that each feature is multiplied by.
func rowLengths(p product) ([]float64, error) {
	w, err := p.weight.Init.Float32s()
	if err != nil {
		return nil, err
	}
	columns := int(p.weight.Init.Shape[1])
	sums := make([]float64, p.weight.Init.Shape[1-p.outAxis])
	for i, x := range w {
		at := i / columns
		if p.outAxis == 0 {
			at = i % columns
		}
		sums[at] += float64(x) * float64(x)
	}
	for i := range sums {
		sums[i] = math.Sqrt(sums[i])
	}
	return sums, nil
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
	attention, ffn, err := units(layers)
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
