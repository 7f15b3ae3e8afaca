//go:build !lite

package train

import (
	"graft/train/dataset"
)

// loader assembles batches ahead of the steps, in a goroutine of its own that calls nothing of libtorch.
type loader struct {
	work chan work
	quit chan struct{}
	done chan struct{}
}

// work is the batches of one step.
type work struct {
	batches []dataset.Batch
	after   position // where the next step begins
	err     error
}

// ahead is how many steps' batches wait.
const ahead = 2

// startLoader begins at a position and makes so many steps' batches.
func startLoader(s *dataset.Sampler, c calendar, from position, steps int) *loader {
	l := &loader{work: make(chan work, ahead), quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for range steps {
			w := assemble(s, c, from)
			select {
			case l.work <- w:
			case <-l.quit:
				return
			}
			if w.err != nil {
				return
			}
			from = w.after
		}
	}()
	return l
}

// assemble makes the batches of the step at a position.
func assemble(s *dataset.Sampler, c calendar, from position) work {
	places, after := c.next(from)
	w := work{after: after}
	for _, p := range places {
		b, err := s.Batch(p.Epoch, p.Batch)
		if err != nil {
			return work{err: err}
		}
		w.batches = append(w.batches, b)
	}
	return w
}

// stop ends the goroutine and waits for it: it reads memory that the run unmaps.
func (l *loader) stop() {
	close(l.quit)
	<-l.done
}
