//go:build !lite

package loss

import (
	"math"

	"graft/train/torch"
)

// block is a run of queries and what they are scored against, at one width.
type block struct {
	device   torch.Device
	queries  *torch.Tensor // [n, d]
	passages *torch.Tensor // [all, d], of all queries of the batch
	n, all   int
	group    int           // passages per query
	first    int           // index in passages of the first query's positive; the next one's is group further
	ignore   [][]int       // by query, indices in passages of what is no negative of it; nil: nothing
	ownGroup []bool        // by query, that its negatives are its own passages alone; nil: for none
	teacher  *torch.Tensor // [n, group]; nil unless scores are distilled
	same     [][]int       // by query, indices in passages of its own text; nil: of none

	// The teacher's vectors, [n, width] and [all, width], prepared as the model's are; nil unless vectors are distilled.
	teacherQueries, teacherPassages *torch.Tensor

	temperature, margin float64
}

// positive is the index in passages of query i's positive.
func (b *block) positive(i int) int { return b.first + i*b.group }

// similarities are the products of the queries with all passages, [n, all].
func (b *block) similarities(s *torch.Scope) *torch.Tensor {
	return s.MatMul(b.queries, s.Transpose(b.passages, 0, 1))
}

// atPositive is [n, all]: value at each query's positive, else 0.
func (b *block) atPositive(s *torch.Scope, value float64) *torch.Tensor {
	data := make([]float32, b.n*b.all)
	for i := range b.n {
		data[i*b.all+b.positive(i)] = float32(value)
	}
	return s.ToDevice(s.Float32s(data, int64(b.n), int64(b.all)), b.device)
}

// ownScores are the scores of the queries' own passages, [n, group].
func (b *block) ownScores(s *torch.Scope) *torch.Tensor {
	n, g := int64(b.n), int64(b.group)
	own := s.Slice(b.passages, 0, int64(b.first), int64(b.first)+n*g, 1)
	own = s.Reshape(own, n, g, -1)                     // [n, group, d]
	scores := s.MatMul(own, s.Unsqueeze(b.queries, 2)) // [n, group, 1]
	return s.DivScalar(s.Squeeze(scores, 2), b.temperature)
}

// crossEntropy is the cross entropy of the positives, added up over the queries, where scores is [n, all].
func (b *block) crossEntropy(s *torch.Scope, scores *torch.Tensor) *torch.Tensor {
	targets := make([]int64, b.n)
	for i := range targets {
		targets[i] = int64(b.positive(i))
	}
	on := s.ToDevice(s.Int64s(targets, int64(b.n)), b.device)
	return s.MulScalar(s.CrossEntropy(b.hide(s, scores, false), on), float64(b.n))
}

// hide takes what is no negative of a query out of the scores: those of all passages, [n, all], or, with own, those of
// the query's own, [n, group]. The positive stays, so that no row is all -inf.
func (b *block) hide(s *torch.Scope, scores *torch.Tensor, own bool) *torch.Tensor {
	if b.ignore == nil && b.ownGroup == nil {
		return scores
	}
	columns := b.all
	if own {
		columns = b.group
	}
	mask, any := make([]bool, b.n*columns), false
	for i := range b.n {
		row, from := mask[i*columns:(i+1)*columns], 0
		if own {
			from = b.positive(i)
		}
		if b.ignore != nil {
			for _, p := range b.ignore[i] {
				if p >= from && p < from+columns {
					row[p-from], any = true, true
				}
			}
		}
		if b.ownGroup != nil && b.ownGroup[i] && !own {
			for p := range row {
				if p < b.positive(i) || p >= b.positive(i+1) {
					row[p], any = true, true
				}
			}
		}
	}
	if !any {
		return scores
	}
	hidden := s.ToDevice(s.Bools(mask, int64(b.n), int64(columns)), b.device)
	return s.MaskedFill(scores, hidden, math.Inf(-1))
}

// logSoftmax is that of similarities [n, all] over the temperature, in which a text is not compared with itself.
func (b *block) logSoftmax(s *torch.Scope, similarities *torch.Tensor) *torch.Tensor {
	scores := s.DivScalar(similarities, b.temperature)
	if b.same != nil {
		mask := make([]bool, b.n*b.all)
		for i, passages := range b.same {
			for _, p := range passages {
				mask[i*b.all+p] = true
			}
		}
		scores = s.MaskedFill(scores, s.ToDevice(s.Bools(mask, int64(b.n), int64(b.all)), b.device), hiddenScore)
	}
	return s.LogSoftmax(scores, 1)
}

// hiddenScore has the probability 0 and, unlike -inf, a product with it.
const hiddenScore = -1e30
