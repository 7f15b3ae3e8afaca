//go:build !lite

package train

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func textsOf(lengths ...int) []text {
	out := make([]text, len(lengths))
	for i, n := range lengths {
		out[i].ids = make([]int32, n)
	}
	return out
}

func costOf(batches []subBatch) int {
	cost := 0
	for _, b := range batches {
		cost += len(b.texts)*b.length + launch
	}
	return cost
}

// cheapest is the least cost of cutting lengths, longest first, within limits: all ways are tried.
func cheapest(lengths []int, limit limits) int {
	if len(lengths) == 0 {
		return 0
	}
	best := 0
	for n := 1; n <= len(lengths); n++ {
		if n > 1 && (limit.tokens > 0 && n*lengths[0] > limit.tokens || limit.texts > 0 && n > limit.texts) {
			break
		}
		if c := n*lengths[0] + launch + cheapest(lengths[n:], limit); n == 1 || c < best {
			best = c
		}
	}
	return best
}

func TestSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		lengths := make([]int, 1+r.IntN(12))
		for i := range lengths {
			lengths[i] = 1 + r.IntN(100)
		}
		limit := limits{tokens: r.IntN(3) * 150, texts: r.IntN(5)}
		batches := split(textsOf(lengths...), limit)
		var seen []int
		for i, b := range batches {
			longest := 0
			for _, n := range b.texts {
				longest = max(longest, lengths[n])
			}
			if b.length != longest || i > 0 && b.length > batches[i-1].length {
				t.Fatalf("%v %+v: sub-batches %v", lengths, limit, batches)
			}
			if len(b.texts) > 1 && (limit.tokens > 0 && len(b.texts)*b.length > limit.tokens || limit.texts > 0 && len(b.texts) > limit.texts) {
				t.Fatalf("%v %+v: a sub-batch of %d texts of %d tokens", lengths, limit, len(b.texts), b.length)
			}
			seen = append(seen, b.texts...)
		}
		slices.Sort(seen)
		for i, n := range seen {
			if i != n {
				t.Fatalf("texts %v of %d", seen, len(lengths))
			}
		}
		sorted := slices.Clone(lengths)
		slices.Sort(sorted)
		slices.Reverse(sorted)
		if len(seen) != len(lengths) || costOf(batches) != cheapest(sorted, limit) {
			t.Fatalf("%v %+v: cost %d, want %d", lengths, limit, costOf(batches), cheapest(sorted, limit))
		}
	}
}

// Short texts among long ones run apart where padding them costs more than another sub-batch.
func TestSplitSavesPadding(t *testing.T) {
	batches := split(textsOf(500, 10, 480, 12, 11), limits{tokens: 100000})
	if len(batches) != 2 || !slices.Equal(batches[0].texts, []int{0, 2}) || batches[1].length != 12 {
		t.Errorf("got %v", batches)
	}
	if batches := split(textsOf(20, 18, 16, 14), limits{tokens: 100000}); len(batches) != 1 {
		t.Errorf("four texts of like length run in %d sub-batches", len(batches))
	}
}

func TestSplitEmptyText(t *testing.T) {
	if b := split(textsOf(0, 0), limits{}); len(b) != 1 || b[0].length != 1 {
		t.Errorf("got %v", b)
	}
}
