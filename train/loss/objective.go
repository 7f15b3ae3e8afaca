//go:build !lite

package loss

import "graft/train/torch"

// Objective is a softmax in which the positive of a query has to win.
type Objective struct {
	Name string // --objective
	Doc  string
	// PositivesOnly says that a query brings its positive alone into the batch, and no negatives of its own.
	PositivesOnly bool
	// HasMargin says that the margin is subtracted from the positive's similarity.
	HasMargin bool
	// Negatives counts what the positive of a query competes with, in a batch of b queries with g passages each.
	Negatives func(b, g int) (inBatch, hard int)

	sum func(s *torch.Scope, b *block) *torch.Tensor // the loss of the block's queries, added up
}

// Objectives is the table of them. B queries have G passages each, the positive first; S are similarities, T is the
// temperature.
var Objectives = []*Objective{
	{
		// InfoNCE, van den Oord et al. 2018, with the hard negatives of Karpukhin et al. 2020 (DPR).
		Name:      "all-passages",
		Doc:       "softmax of S/T over the passages of all queries in the batch; the positive of query i is passage i*G",
		Negatives: func(b, g int) (int, int) { return (b - 1) * g, g - 1 },
		sum:       allPassages,
	},
	{
		// The additive margin of Yang et al. 2019, as PaddleNLP's use_inbatch_neg computes it.
		Name:          "in-batch",
		Doc:           "softmax of (S - margin*I)/T over the positives of all queries in the batch; negatives of a row are not read",
		PositivesOnly: true,
		HasMargin:     true,
		Negatives:     func(b, _ int) (int, int) { return b - 1, 0 },
		sum:           inBatch,
	},
	{
		Name:      "own-group",
		Doc:       "softmax of S/T over the G passages of the query itself",
		Negatives: func(_, g int) (int, int) { return 0, g - 1 },
		sum:       ownGroup,
	},
}

func allPassages(s *torch.Scope, b *block) *torch.Tensor {
	return b.crossEntropy(s, s.DivScalar(b.similarities(s), b.temperature))
}

func inBatch(s *torch.Scope, b *block) *torch.Tensor {
	similarities := s.Sub(b.similarities(s), b.atPositive(s, b.margin))
	return b.crossEntropy(s, s.DivScalar(similarities, b.temperature))
}

func ownGroup(s *torch.Scope, b *block) *torch.Tensor {
	scores := b.hide(s, b.ownScores(s), true)
	return s.Neg(s.Sum(s.Slice(s.LogSoftmax(scores, 1), 1, 0, 1, 1), false))
}
