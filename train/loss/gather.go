//go:build !lite

package loss

import "graft/train/torch"

// Gatherer joins the batches of the processes that train together. Every process calls the same methods in the same
// order, with tensors of the same shape; tensors are detached.
type Gatherer interface {
	Rank() int  // number of this process, from 0
	World() int // how many there are
	// Gather returns [World*n, …]: the x [n, …] of all processes, that of rank 0 first.
	Gather(s *torch.Scope, x *torch.Tensor) *torch.Tensor
	// ReduceScatter adds up the x [World*n, …] of all processes and returns this one's n rows of the sum.
	ReduceScatter(s *torch.Scope, x *torch.Tensor) *torch.Tensor
}

// RunAcross is Run with the passages of all processes as candidates.
//
// Each process scores its own queries and hands every passage's gradient to the process that encoded the passage. The
// mean over the processes of the parameters' gradients is then that of one large batch. in.First, in.Ignore and in.Same
// refer to the joined passages.
func (l *Loss) RunAcross(s *torch.Scope, in Input, g Gatherer) *Result {
	in.Passages = g.Gather(s, s.Detach(in.Passages))
	if in.TeacherPassages != nil {
		in.TeacherPassages = g.Gather(s, in.TeacherPassages)
	}
	r := l.Run(s, in)
	if r != nil {
		r.Passages = g.ReduceScatter(s, r.Passages)
	}
	return r
}

// RunReplicated is RunAcross as PaddleNLP, FlagEmbedding and GritLM have it: each process scores the queries of all, and
// keeps the gradient of its own embeddings alone. Value is the loss of the whole batch, and the mean over the processes
// of the parameters' gradients is 1/World of its gradient. The optimizer's steps hardly feel that, clipping does.
// Masks are not joined: in.Ignore, in.OwnGroup and in.Same must be nil.
func (l *Loss) RunReplicated(s *torch.Scope, in Input, g Gatherer) *Result {
	b, p := in.Queries.Dim(0), in.Passages.Dim(0)
	in.Queries, in.Passages, in.First = g.Gather(s, s.Detach(in.Queries)), g.Gather(s, s.Detach(in.Passages)), 0
	if in.Teacher != nil {
		in.Teacher = g.Gather(s, in.Teacher)
	}
	if in.TeacherQueries != nil {
		in.TeacherQueries, in.TeacherPassages = g.Gather(s, in.TeacherQueries), g.Gather(s, in.TeacherPassages)
	}
	r := l.Run(s, in)
	if r != nil {
		rank := int64(g.Rank())
		r.Queries = s.Slice(r.Queries, 0, rank*b, (rank+1)*b, 1)
		r.Passages = s.Slice(r.Passages, 0, rank*p, (rank+1)*p, 1)
	}
	return r
}
