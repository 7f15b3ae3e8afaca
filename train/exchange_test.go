//go:build !lite

package train

import (
	"sync"
	"testing"

	"graft/train/torch"
)

// exchange stands in for the network between processes that are goroutines of a test.
type exchange struct {
	mu      sync.Mutex
	arrived *sync.Cond
	waiting int
	round   int
	left    bool            // a rank has ended: nobody waits any more
	tensors []*torch.Tensor // by rank, what it has put down
	numbers []float64
}

func newExchange(world int) *exchange {
	e := &exchange{tensors: make([]*torch.Tensor, world), numbers: make([]float64, world)}
	e.arrived = sync.NewCond(&e.mu)
	return e
}

// meet returns when every rank has called it.
func (e *exchange) meet() {
	e.mu.Lock()
	defer e.mu.Unlock()
	round := e.round
	if e.waiting++; e.waiting == len(e.tensors) {
		e.waiting, e.round = 0, e.round+1
		e.arrived.Broadcast()
	}
	for round == e.round && !e.left {
		e.arrived.Wait()
	}
}

// leave lets the other ranks go on, to fail where this one did.
func (e *exchange) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left = true
	e.arrived.Broadcast()
}

// share has every rank put a tensor down and see them all.
func (e *exchange) share(rank int, x *torch.Tensor, use func(all []*torch.Tensor) *torch.Tensor) *torch.Tensor {
	e.tensors[rank] = x
	e.meet()
	out := use(e.tensors)
	e.meet()
	return out
}

// average makes every rank's gradients, and its loss, the mean of all ranks', as data parallelism does.
func (e *exchange) average(t testing.TB, rank int, loss float64, params []*torch.Tensor) float64 {
	s := torch.NewScope()
	defer s.Close()
	for _, p := range params {
		grad := s.Own(p.Grad())
		mean := e.share(rank, grad, func(all []*torch.Tensor) *torch.Tensor { return s.Mean(s.Stack(all, 0), false, 0) })
		if s.Err() != nil {
			t.Error(s.Err())
		} else if err := grad.CopyFrom(mean); err != nil {
			t.Error(err)
		}
	}
	e.numbers[rank] = loss
	e.meet()
	total := 0.0
	for _, v := range e.numbers {
		total += v
	}
	e.meet()
	return total / float64(len(e.numbers))
}

// exchangeRank is a rank's loss.Gatherer.
type exchangeRank struct {
	*exchange
	rank int
}

func (r exchangeRank) Rank() int  { return r.rank }
func (r exchangeRank) World() int { return len(r.tensors) }

func (r exchangeRank) Gather(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	return r.share(r.rank, x, func(all []*torch.Tensor) *torch.Tensor { return s.Cat(all, 0) })
}

func (r exchangeRank) ReduceScatter(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
	return r.share(r.rank, x, func(all []*torch.Tensor) *torch.Tensor {
		n := x.Dim(0) / int64(len(all))
		sum := s.Sum(s.Stack(all, 0), false, 0)
		return s.Slice(sum, 0, int64(r.rank)*n, int64(r.rank+1)*n, 1)
	})
}
