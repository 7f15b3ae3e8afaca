package dataset

import (
	"fmt"
	"sync"

	"graft/lines"
)

// SamplerOptions say how an epoch's rows become batches.
type SamplerOptions struct {
	Seed      int64
	BatchSize int // rows of a batch on one rank
	GroupSize int // passages of a row: one positive, the others negatives

	Shuffle       bool // else rows are in the order of the data
	SameSource    bool // every batch is of one file
	GroupByLength bool // batches of rows of like length
	NoDuplicates  bool // no text in two rows of a batch
	DropLast      bool // leave out batches that are not full

	// Rank of World processes that train together. A batch's index stands for World batches, one on each rank, which
	// are made as one large batch and cut in World pieces. World 0 is 1.
	Rank, World int
}

// Sampler makes the batches of any epoch. It may be used by several goroutines at once.
type Sampler struct {
	tokens  *Tokens
	options SamplerOptions
	lengths []uint32 // of rows, for GroupByLength
	same    []uint32 // of texts, for NoDuplicates: the number that stands for all texts equal to it

	mu    sync.Mutex
	plans []*plan // of the epochs asked for last
}

// plansKept is how many epochs' plans are kept, so that reading ahead into the next epoch costs no planning.
const plansKept = 2

// NewSampler checks the options against the data.
func NewSampler(t *Tokens, o SamplerOptions) (*Sampler, error) {
	if o.World == 0 {
		o.World = 1
	}
	switch {
	case o.BatchSize < 1:
		return nil, fmt.Errorf("batch size is %d: it must be 1 or more", o.BatchSize)
	case o.GroupSize < 1:
		return nil, fmt.Errorf("group size is %d: it must be 1 or more", o.GroupSize)
	case o.World < 1 || o.Rank < 0 || o.Rank >= o.World:
		return nil, fmt.Errorf("rank is %d of %d", o.Rank, o.World)
	}
	if o.GroupSize > 1 {
		for _, r := range t.rows {
			if r.Neg == 0 {
				return nil, lines.At(t.Sources[r.Source].Path, int(r.Line), noNegatives(o.GroupSize))
			}
		}
	}
	s := &Sampler{tokens: t, options: o}
	if o.GroupByLength {
		s.lengths = t.rowLengths(o.GroupSize)
	}
	if o.NoDuplicates {
		s.same = t.sameTexts()
	}
	return s, nil
}

// Epoch is what an epoch consists of.
type Epoch struct {
	Batches    int // on each rank
	Rows       int // in these batches, on all ranks
	Incomplete int // batches with fewer rows than the others
	Dropped    int // rows that are in no batch
}

// Epoch tells what an epoch consists of. Under NoDuplicates epochs may differ.
func (s *Sampler) Epoch(epoch int) Epoch { return s.plan(epoch).Epoch }

// Batches is the number of batches of an epoch.
func (s *Sampler) Batches(epoch int) int { return s.plan(epoch).Batches }

// Batch makes a batch, which depends on the data, the options, the epoch and the index alone.
func (s *Sampler) Batch(epoch, index int) (Batch, error) {
	p := s.plan(epoch)
	if epoch < 0 || index < 0 || index >= p.Batches {
		return Batch{}, fmt.Errorf("batch %d of epoch %d is outside of its %d batches", index, epoch, p.Batches)
	}
	rows := p.batches[index]
	share := len(rows) / s.options.World
	rows = rows[s.options.Rank*share:][:share]
	b := Batch{Epoch: epoch, Index: index, Groups: make([]Group, share)}
	for i, row := range rows {
		b.Groups[i] = s.tokens.group(row, s.sample(epoch, row))
	}
	return b, nil
}

func (s *Sampler) sample(epoch int, row uint32) []uint64 {
	return s.tokens.sample(s.options.Seed, epoch, row, s.options.GroupSize)
}

// plan makes the plan of an epoch, or finds it.
func (s *Sampler) plan(epoch int) *plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.plans {
		if p.epoch == epoch {
			return p
		}
	}
	p := s.newPlan(epoch)
	s.plans = append(s.plans, p)
	if len(s.plans) > plansKept {
		s.plans = s.plans[1:]
	}
	return p
}
