//go:build !lite

package train

import (
	"cmp"

	"graft/train/torch"
)

// workers run sub-batches at the same time, each on threads of its own. A matrix product of half the rows on one core
// takes less time than that of all rows on two, which wait for one another at each operation's end; and what an operation
// leaves in a core's cache is what the next one there reads.
//
// Which worker runs what is settled before, each adds up its gradients in the order of its sub-batches, and theirs
// are added in the workers' order: a step computes the same each time.
type workers struct {
	count int // the calling thread, which is worker 0, among them
	more  []worker
}

// worker is a thread that waits for tasks.
type worker struct {
	encoder encoder
	tasks   chan func()
}

// workersOn is how many workers share a device. More than two would need more memory for gradients than they gain.
func workersOn(d torch.Device) int {
	if d.Kind == torch.CPU && torch.Threads() > 1 {
		return 2
	}
	return 1
}

// start starts those that do not run yet, over the weights of e.
func (w *workers) start(e *encoder) error {
	for len(w.more)+1 < w.count {
		p, err := e.program.Share()
		if err != nil {
			return err
		}
		one := worker{encoder: *e, tasks: make(chan func())}
		one.encoder.program = p
		w.more = append(w.more, one)
		go func() {
			torch.Lock() // for good: the thread, which has its own number of threads, ends with the goroutine
			for task := range one.tasks {
				task()
			}
		}()
	}
	return nil
}

// each runs f once on each worker, with its encoder and a scope for what it makes, and waits for all. Worker 0 is the
// calling thread with encoder e. It returns the first worker's error.
func (w *workers) each(e *encoder, f func(worker int, e *encoder, s *torch.Scope)) error {
	if w.count > 1 {
		all := torch.Threads()
		torch.SetThreads(max(1, all/w.count))
		defer torch.SetThreads(all)
	}
	errs, done := make([]error, w.count), make(chan struct{})
	run := func(i int, e *encoder) {
		s := torch.NewScope()
		defer s.Close()
		f(i, e, s)
		errs[i] = s.Err()
	}
	for i := range w.more {
		one := &w.more[i]
		one.encoder.autocast, one.encoder.pad = e.autocast, e.pad
		threads := torch.Threads()
		one.tasks <- func() {
			defer func() { done <- struct{}{} }()
			torch.SetThreads(threads)
			run(i+1, &one.encoder)
		}
	}
	run(0, e)
	for range w.more {
		<-done
	}
	return cmp.Or(errs...)
}

// collect adds the workers' gradients to those of e.
func (w *workers) collect(e *encoder) error {
	for _, one := range w.more {
		if err := e.program.AddGrads(one.encoder.program); err != nil {
			return err
		}
	}
	return nil
}

// close ends the workers.
func (w *workers) close() {
	for _, one := range w.more {
		close(one.tasks)
		one.encoder.program.Close()
	}
	w.more = nil
}
