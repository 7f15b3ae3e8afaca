//go:build !lite

package loss

import "graft/train/torch"

// Distillation makes the scores of a query's own passages follow those of a teacher.
type Distillation struct {
	Name  string // --distill
	Doc   string
	Alone bool // stands in the objective's place; else it is added to the objective, times Config.DistillWeight

	sum func(s *torch.Scope, b *block) *torch.Tensor // the loss of the block's queries, added up
}

// Distillations is the table of them. The teacher's scores are taken as they are in the data.
var Distillations = []*Distillation{
	{
		// FlagEmbedding's kd_loss_type kl_div: it leaves out the teacher's entropy, which has no gradient.
		Name: "kl",
		Doc:  "cross entropy between softmax(teacher) and softmax(S/T) over the query's own passages, beside the objective",
		sum:  teacherCrossEntropy,
	},
	{
		// Hofstätter et al. 2020, "Improving efficient neural ranking models with cross-architecture knowledge distillation".
		Name:  "margin-mse",
		Doc:   "squared error of S/T's margins between the positive and each negative against the teacher's; in the objective's place",
		Alone: true,
		sum:   marginMSE,
	},
}

func teacherCrossEntropy(s *torch.Scope, b *block) *torch.Tensor {
	target := s.Softmax(b.teacher, 1)
	return s.Neg(s.Sum(s.Mul(target, s.LogSoftmax(b.ownScores(s), 1)), false))
}

func marginMSE(s *torch.Scope, b *block) *torch.Tensor {
	margins := func(scores *torch.Tensor) *torch.Tensor { // [n, G-1]
		return s.Sub(s.Slice(scores, 1, 0, 1, 1), s.Slice(scores, 1, 1, int64(b.group), 1))
	}
	miss := s.Sub(margins(b.ownScores(s)), margins(b.teacher))
	return s.MulScalar(s.Sum(s.Mul(miss, miss), false), 1/float64(b.group-1))
}
