//go:build !lite

package loss

import (
	"fmt"

	"graft/train/torch"
)

// Input is a batch of B queries and their passages, as the model encoded them.
type Input struct {
	Queries  *torch.Tensor // [B, width], not normalized
	Passages *torch.Tensor // [P, width]; those of query i begin with its positive, at First+i*Group
	Group    int           // passages per query
	First    int           // 0, except where Passages holds other processes' too

	// Teacher is what a teacher scores the query's own passages, [B, Group]; nil where no scores are distilled.
	Teacher *torch.Tensor
	// TeacherQueries [B, any width] and TeacherPassages [P, the same] are a teacher's vectors of the texts; nil where none
	// are distilled.
	TeacherQueries, TeacherPassages *torch.Tensor
	// Same lists for each query the passages that are its own text, with which it is not compared; nil: there are none.
	// See SameTexts. Distillations of vectors alone read it.
	Same [][]int
	// Ignore lists for each query the passages that count as its negatives in no case; nil: there are none. See
	// FalseNegatives.
	Ignore [][]int
	// OwnGroup says of each query that only its own passages are its negatives; nil: of none.
	OwnGroup []bool
}

// Result is the loss of a batch, a mean over its queries, and its gradient.
type Result struct {
	Value    float64
	Queries  *torch.Tensor // dValue/dQueries, float32 [B, width]
	Passages *torch.Tensor // dValue/dPassages, float32 [P, width]
	Parts    []Part        // what Value is the weighted sum of
}

// Part is one term of a loss, a mean over the queries, before it is weighted.
type Part struct {
	Name   string // of the objective or the distillation
	Dim    int    // width of the embeddings
	Weight float64
	Value  float64
}

// Run computes the loss of a batch and its gradient, without touching the graph that the embeddings may belong to. The
// result's tensors are the scope's. After an error, which the scope keeps, the result is nil.
func (l *Loss) Run(s *torch.Scope, in Input) *Result {
	if err := l.checkInput(s, in); err != nil {
		s.Fail(fmt.Errorf("loss: %w", err))
		return nil
	}
	queries, passages := leaf(s, in.Queries), leaf(s, in.Passages)
	var sums []*torch.Tensor
	for i, d := range l.Dims {
		sums = append(sums, l.atWidth(s, in, queries, passages, d, l.DimWeights[i])...)
	}
	values := s.Stack(sums, 0)
	if s.Err() != nil {
		return nil
	}
	result := &Result{Queries: s.Own(queries.Grad()), Passages: s.Own(passages.Grad())}
	parts, err := values.Float64s()
	if err != nil {
		s.Fail(fmt.Errorf("loss: %w", err))
		return nil
	}
	terms := l.terms()
	for i, sum := range parts {
		d, t := i/len(terms), terms[i%len(terms)]
		p := Part{Name: t.name, Dim: l.Dims[d], Weight: l.DimWeights[d] * t.weight, Value: sum / float64(in.Queries.Dim(0))}
		result.Parts = append(result.Parts, p)
		result.Value += p.Weight * p.Value
	}
	return result
}

func (l *Loss) checkInput(s *torch.Scope, in Input) error {
	if s.Err() != nil {
		return s.Err()
	}
	b, p := in.Queries.Dim(0), in.Passages.Dim(0)
	switch {
	case in.Queries.Rank() != 2 || in.Passages.Rank() != 2 || in.Queries.Dim(1) != in.Passages.Dim(1):
		return fmt.Errorf("queries are %v and passages %v; both should be [n, width]", in.Queries, in.Passages)
	case in.Group < 1 || in.First < 0 || int64(in.First)+b*int64(in.Group) > p:
		return fmt.Errorf("%d queries with %d passages each from %d on, but %d passages", b, in.Group, in.First, p)
	case in.Ignore != nil && int64(len(in.Ignore)) != b || in.OwnGroup != nil && int64(len(in.OwnGroup)) != b:
		return fmt.Errorf("masks are for %d and %d queries, want %d", len(in.Ignore), len(in.OwnGroup), b)
	case in.Same != nil && int64(len(in.Same)) != b:
		return fmt.Errorf("texts that are the same are listed for %d queries, want %d", len(in.Same), b)
	case l.distillation == nil:
		return nil
	case l.distillation.Vectors:
		return l.checkTeacher(in)
	case in.Teacher == nil:
		return fmt.Errorf("%s needs a teacher's scores", l.distillation.Name)
	case in.Teacher.Rank() != 2 || in.Teacher.Dim(0) != b || in.Teacher.Dim(1) != int64(in.Group):
		return fmt.Errorf("teacher's scores are %v, want [%d, %d]", in.Teacher, b, in.Group)
	}
	return nil
}

// checkTeacher checks the teacher's vectors.
func (l *Loss) checkTeacher(in Input) error {
	q, p := in.TeacherQueries, in.TeacherPassages
	switch {
	case q == nil || p == nil:
		return fmt.Errorf("%s needs a teacher's vectors", l.distillation.Name)
	case q.Rank() != 2 || p.Rank() != 2 || q.Dim(0) != in.Queries.Dim(0) || p.Dim(0) != in.Passages.Dim(0) || q.Dim(1) != p.Dim(1):
		return fmt.Errorf("the teacher's vectors are %v and %v for queries %v and passages %v", q, p, in.Queries, in.Passages)
	case !l.distillation.Compares && q.Dim(1) != in.Queries.Dim(1):
		return fmt.Errorf("the teacher's vectors have %d features, the model's %d; %s needs as many", q.Dim(1), in.Queries.Dim(1), l.distillation.Name)
	}
	return nil
}

// term is one of the sums that are taken over the queries, at each width.
type term struct {
	name   string
	weight float64
	sum    func(s *torch.Scope, b *block) *torch.Tensor
}

func (l *Loss) terms() []term {
	objective := term{l.objective.Name, 1, l.objective.sum}
	switch d := l.distillation; {
	case d == nil:
		return []term{objective}
	case d.Alone:
		return []term{{d.Name, 1, d.sum}}
	default:
		return []term{objective, {d.Name, l.DistillWeight, d.sum}}
	}
}

// atWidth adds the gradient at width d to queries and passages, and returns the terms' sums over the queries, detached.
//
// The graph is cut at the normalized embeddings: each block of queries is computed and propagated back to them alone, so
// that the scores of one block are in memory at a time.
func (l *Loss) atWidth(s *torch.Scope, in Input, queries, passages *torch.Tensor, d int, weight float64) []*torch.Tensor {
	inner := torch.NewScope()
	defer inner.Close()
	q, p := l.prepare(inner, queries, d), l.prepare(inner, passages, d)
	qLeaf, pLeaf := leaf(inner, q), leaf(inner, p)
	if in.TeacherQueries != nil {
		in.TeacherQueries, in.TeacherPassages = l.teacher(inner, in.TeacherQueries), l.teacher(inner, in.TeacherPassages)
	}

	count, all := int(in.Queries.Dim(0)), int(in.Passages.Dim(0))
	rows := l.Rows
	if rows <= 0 {
		rows = max(1, scoresInMemory/all)
	}
	sums := make([]*torch.Tensor, len(l.terms()))
	for from := 0; from < count; from += rows {
		to := min(from+rows, count)
		b := in.block(inner, qLeaf, pLeaf, from, to)
		b.temperature, b.margin, b.all = l.Temperature, l.Margin, all
		for i, sum := range l.backward(inner, b, weight/float64(count)) {
			if sums[i] == nil {
				sums[i] = sum
			} else {
				sums[i] = inner.Add(sums[i], sum)
			}
		}
	}
	if inner.Err() == nil {
		inner.BackwardWith(q, inner.Own(qLeaf.Grad()))
		inner.BackwardWith(p, inner.Own(pLeaf.Grad()))
	}
	if err := inner.Err(); err != nil {
		s.Fail(fmt.Errorf("loss: %w", err))
	}
	for i := range sums {
		sums[i] = s.Own(sums[i])
	}
	return sums
}

// scoresInMemory is how many scores are computed at a time, unless one query has more: 64 MiB of them.
const scoresInMemory = 64 << 20 / 4

// backward computes a block's terms, propagates their weighted sum times scale back to the block's leaves, and returns
// the sums.
func (l *Loss) backward(s *torch.Scope, b *block, scale float64) []*torch.Tensor {
	inner := torch.NewScope()
	defer inner.Close()
	var total *torch.Tensor
	var sums []*torch.Tensor
	for _, t := range l.terms() {
		sum := t.sum(inner, b)
		sums = append(sums, s.Own(inner.Detach(sum)))
		sum = inner.MulScalar(sum, t.weight*scale)
		if total == nil {
			total = sum
		} else {
			total = inner.Add(total, sum)
		}
	}
	inner.Backward(total)
	if err := inner.Err(); err != nil {
		s.Fail(err)
	}
	return sums
}

// block is the queries from ≤ i < to of the batch.
func (in Input) block(s *torch.Scope, queries, passages *torch.Tensor, from, to int) *block {
	b := &block{
		device: queries.Device(), queries: s.Slice(queries, 0, int64(from), int64(to), 1), passages: passages,
		n: to - from, group: in.Group, first: in.First + from*in.Group,
	}
	if in.Ignore != nil {
		b.ignore = in.Ignore[from:to]
	}
	if in.OwnGroup != nil {
		b.ownGroup = in.OwnGroup[from:to]
	}
	if in.Same != nil {
		b.same = in.Same[from:to]
	}
	if in.TeacherQueries != nil {
		b.teacherQueries, b.teacherPassages = s.Slice(in.TeacherQueries, 0, int64(from), int64(to), 1), in.TeacherPassages
	}
	if in.Teacher != nil {
		b.teacher = s.To(s.Slice(in.Teacher, 0, int64(from), int64(to), 1), torch.Float32)
	}
	return b
}

// prepare takes the first d features of x and, where the loss is of cosines, gives them length 1.
func (l *Loss) prepare(s *torch.Scope, x *torch.Tensor, d int) *torch.Tensor {
	x = s.Slice(x, 1, 0, int64(d), 1)
	if l.Normalize {
		x = s.Normalize(x, 1, normEpsilon)
	}
	return x
}

// teacher prepares the whole width of a teacher's vectors.
func (l *Loss) teacher(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	return l.prepare(s, s.To(x, torch.Float32), int(x.Dim(1)))
}

// normEpsilon is the least norm that is divided by, as in torch.nn.functional.normalize.
const normEpsilon = 1e-12

// leaf is a float32 copy of x's values that collects a gradient of its own.
func leaf(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	x = s.Detach(s.To(x, torch.Float32))
	if x == nil {
		return nil
	}
	if err := x.SetRequiresGrad(true); err != nil {
		s.Fail(err)
		return nil
	}
	return x
}
