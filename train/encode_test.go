//go:build !lite

package train

import (
	"math/rand/v2"
	"slices"
	"testing"

	"graft/train/dataset"
)

func textsOf(lengths ...int) []text {
	out := make([]text, len(lengths))
	for i, n := range lengths {
		out[i].ids = make([]int32, n)
	}
	return out
}

func costOf(batches []subBatch, start int) int {
	cost := 0
	for _, b := range batches {
		cost += len(b.texts)*b.length + start
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
		if c := n*lengths[0] + limit.start + cheapest(lengths[n:], limit); n == 1 || c < best {
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
		limit := limits{tokens: r.IntN(3) * 150, texts: r.IntN(5), start: r.IntN(100)}
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
		if len(seen) != len(lengths) || costOf(batches, limit.start) != cheapest(sorted, limit) {
			t.Fatalf("%v %+v: cost %d, want %d", lengths, limit, costOf(batches, limit.start), cheapest(sorted, limit))
		}
	}
}

// Short texts among long ones run apart where padding them costs more than another sub-batch.
func TestSplitSavesPadding(t *testing.T) {
	batches := split(textsOf(500, 10, 480, 12, 11), limits{tokens: 100000, start: 64})
	if len(batches) != 2 || !slices.Equal(batches[0].texts, []int{0, 2}) || batches[1].length != 12 {
		t.Errorf("got %v", batches)
	}
	if batches := split(textsOf(20, 18, 16, 14), limits{tokens: 100000, start: 64}); len(batches) != 1 {
		t.Errorf("four texts of like length run in %d sub-batches", len(batches))
	}
}

func TestSplitEmptyText(t *testing.T) {
	if b := split(textsOf(0, 0), limits{}); len(b) != 1 || b[0].length != 1 {
		t.Errorf("got %v", b)
	}
}

// repeatTexts has a passage and a query of the batch occur twice.
func repeatTexts(b dataset.Batch) dataset.Batch {
	b.Groups = slices.Clone(b.Groups)
	for i := range b.Groups {
		b.Groups[i].Passages = slices.Clone(b.Groups[i].Passages)
	}
	b.Groups[1].Passages[2] = b.Groups[0].Passages[1]
	b.Groups[3].Query = b.Groups[2].Query
	return b
}

func TestEqualTextsAreEncodedOnce(t *testing.T) {
	g := readGolden(t, "bert/infonce")
	o := g.options()
	x := newTrainer(t, g.graph(t), o, nil)
	batch := repeatTexts(goldenBatches(t)[0])
	apart, err := x.collect(batch, 4)
	if err != nil {
		t.Fatal(err)
	}
	x.apart = false
	once, err := x.collect(batch, 4)
	if err != nil {
		t.Fatal(err)
	}
	if len(apart.texts) != 4+16 || len(once.texts) != len(apart.texts)-2 {
		t.Errorf("%d texts apart, %d once; want 20 and 18", len(apart.texts), len(once.texts))
	}
	if once.queries[3] != once.queries[2] || once.passages[6] != once.passages[1] {
		t.Errorf("queries %v, passages %v", once.queries, once.passages)
	}
}

// Vectors of texts to evaluate with are those of the model without dropout, in order, however the texts are cut.
func TestVectors(t *testing.T) {
	g := readGolden(t, "bert/infonce")
	o := g.options()
	dropping, plain := newTrainer(t, droppingModel(t, g, 0.3), o, nil), newTrainer(t, g.graph(t), o, nil)
	var ids [][]int32
	for _, b := range goldenBatches(t)[:3] {
		for _, group := range b.Groups {
			ids = append(append(ids, group.Query), group.Passages...)
		}
	}
	got, err := dropping.vectors(ids, 0, 30)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ids {
		want, err := plain.vectors(ids[i:i+1], 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d := largestDifference(t, "vector", got[i*32:(i+1)*32], want); d > 1e-5 {
			t.Errorf("text %d differs by %v", i, d)
		}
	}
	if v, err := plain.vectors(nil, 0, 10); err != nil || len(v) != 0 {
		t.Errorf("no texts: %v, %v", v, err)
	}
}
