//go:build !lite

package loss

import "graft/train/torch"

// Distillation makes scores, or the vectors themselves, follow those of a teacher.
type Distillation struct {
	Name  string // --distill
	Doc   string
	Alone bool // stands in the objective's place; else it is added to the objective, times Config.DistillWeight
	// Vectors says that it reads the teacher's vectors of the batch's texts; else it reads the teacher's scores of each
	// query's own passages. Rows may then be texts alone: a text that is its own query and passage.
	Vectors bool
	// Compares says that it reads similarities between texts, so that a batch needs several of them.
	Compares bool

	sum func(s *torch.Scope, b *block) *torch.Tensor // the loss of the block's queries, added up
}

// Distillations is the table of them. The teacher's scores are taken as they are in the data. B queries have G passages
// each; S are the similarities, T is the temperature.
var Distillations = []*Distillation{
	{
		// FlagEmbedding's kd_loss_type kl_div: it leaves out the teacher's entropy, which has no gradient.
		Name: "kl", Compares: true,
		Doc: "cross entropy between softmax(teacher) and softmax(S/T) over the query's own passages, beside the objective",
		sum: teacherCrossEntropy,
	},
	{
		// Hofstätter et al. 2020, "Improving efficient neural ranking models with cross-architecture knowledge distillation".
		Name: "margin-mse", Compares: true, Alone: true,
		Doc: "squared error of S/T's margins between the positive and each negative against the teacher's; in the objective's place",
		sum: marginMSE,
	},
	{
		// sentence-transformers' EmbedDistillLoss with the cosine as its distance.
		Name: "embedding", Vectors: true, Alone: true,
		Doc: "1 - cosine between a text's vector and the teacher's, a mean over the batch's texts; in the objective's place",
		sum: towardsTeacher,
	},
	{
		// Relational knowledge distillation with InfoNCE's distribution: SEED, Fang et al. 2021.
		Name: "score", Vectors: true, Alone: true, Compares: true,
		Doc: "KL divergence from the teacher's softmax of S/T over the B*G passages of the batch to the model's; in the objective's place",
		sum: relations,
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

// towardsTeacher is computed as half the squared distance of vectors of length 1, which is 1 - cosine and loses no digits
// where they are close.
func towardsTeacher(s *torch.Scope, b *block) *torch.Tensor {
	d := b.queries.Dim(1)
	unit := func(x *torch.Tensor) *torch.Tensor { return s.Normalize(s.Slice(x, 1, 0, d, 1), 1, normEpsilon) }
	miss := func(student, teacher *torch.Tensor) *torch.Tensor {
		difference := s.Sub(unit(student), unit(teacher))
		return s.MulScalar(s.Sum(s.Mul(difference, difference), false), 0.5)
	}
	first, end := int64(b.first), int64(b.first+b.n*b.group)
	passages := miss(s.Slice(b.passages, 0, first, end, 1), s.Slice(b.teacherPassages, 0, first, end, 1))
	return s.DivScalar(s.Add(miss(b.queries, b.teacherQueries), passages), float64(1+b.group))
}

func relations(s *torch.Scope, b *block) *torch.Tensor {
	student := b.logSoftmax(s, b.similarities(s))
	teacher := b.logSoftmax(s, s.MatMul(b.teacherQueries, s.Transpose(b.teacherPassages, 0, 1)))
	return s.Sum(s.Mul(s.Exp(teacher), s.Sub(teacher, student)), false)
}
