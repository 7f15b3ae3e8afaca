//go:build !lite

package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"graft/graph"
	"graft/train/torch"
)

// withWorkers is a trainer whose sub-batches run on n workers.
func withWorkers(t *testing.T, m *graph.Model, o Options, n int) *trainer {
	x := newTrainer(t, m, o, nil)
	x.workers.count, x.parts = n, n
	return x
}

// Several workers compute the gradient of one.
func TestWorkersAreExact(t *testing.T) {
	eachVariation(t, 0, func(t *testing.T, m *graph.Model, o Options) {
		tolerance := cutTolerance(o)
		batches := goldenBatches(t)
		value, want := withWorkers(t, m, o, 1).gradient(t, batches[0], batches[1])
		for _, workers := range []int{2, 3} {
			for _, limit := range []limits{{}, {tokens: 50, start: 8}} {
				x := withWorkers(t, m, o, workers)
				x.limits, x.gradCache = limit, workers == 3
				got, gradient := x.gradient(t, batches[0], batches[1])
				worst := sameGradients(t, gradient, want, tolerance)
				if math.Abs(got-value) > 10*tolerance*max(1, value) {
					t.Errorf("%d workers, %+v: loss %v, want %v", workers, limit, got, value)
				}
				t.Logf("%d workers, %+v: within %.2g", workers, limit, worst)
			}
		}
	})
}

// Whoever is done first, a step computes the same each time, bit for bit, and every text has dropout masks of its own.
func TestWorkersRepeat(t *testing.T) {
	g := readGolden(t, "bert/infonce")
	o := g.options()
	m, batch := droppingModel(t, g, 0.2), goldenBatches(t)[0]
	x := withWorkers(t, m, o, 2)
	x.limits = limits{tokens: 60}
	start := x.rng
	value, want := x.gradient(t, batch)
	for range 10 {
		x.rng = start
		got, gradient := x.gradient(t, batch)
		if sameGradients(t, gradient, want, 0); got != value {
			t.Fatalf("loss %v, was %v", got, value)
		}
	}
	for i := range batch.Groups {
		batch.Groups[i].Query = batch.Groups[0].Query
	}
	x.apart = true
	texts, err := x.collect(batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.workers.start(&x.encoder); err != nil {
		t.Fatal(err)
	}
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	var seen [][]float32
	for _, c := range x.encodeAll(s, texts.texts, x.split(texts)) {
		rows, err := c.vectors.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range c.texts {
			if v := rows[i*32 : (i+1)*32]; n < texts.first {
				if slices.ContainsFunc(seen, func(o []float32) bool { return slices.Equal(o, v) }) {
					t.Error("two workers drew the same masks")
				}
				seen = append(seen, v)
			}
		}
	}
}

// A worker's error is the step's, and the workers go on afterwards.
func TestWorkersFail(t *testing.T) {
	g := readGolden(t, "bert/infonce")
	x := withWorkers(t, g.graph(t), g.options(), 2)
	batches := goldenBatches(t)
	_, want := x.gradient(t, batches[0])
	bad := batches[1]
	bad.Groups = slices.Clone(bad.Groups)
	bad.Groups[3].Query = []int32{5, 5000}
	before := torch.Live()
	if _, err := x.accumulate(bad, 1); err == nil {
		t.Error("a token beyond the vocabulary trains")
	}
	if n := torch.Live() - before; n != 0 {
		t.Errorf("%d tensors are left", n)
	}
	_, got := x.gradient(t, batches[0])
	sameGradients(t, got, want, 0)
}

func TestDeal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		lengths := make([]int, 1+r.IntN(40))
		for i := range lengths {
			lengths[i] = 1 + r.IntN(100)
		}
		texts, first, workers := textsOf(lengths...), r.IntN(len(lengths)), 1+r.IntN(4)
		var all, sums []int
		for _, hand := range deal(texts, first, len(texts), workers) {
			sum := 0
			for _, n := range hand {
				sum += lengths[n]
			}
			all, sums = append(all, hand...), append(sums, sum)
		}
		slices.Sort(all)
		for i, n := range all {
			if n != first+i {
				t.Fatalf("texts %v from %d on", all, first)
			}
		}
		if len(all) != len(texts)-first || slices.Max(sums)-slices.Min(sums) > slices.Max(lengths) {
			t.Fatalf("%v from %d on: workers got %v", lengths, first, sums)
		}
	}
}
