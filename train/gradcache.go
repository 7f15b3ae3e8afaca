//go:build !lite

package train

import (
	"slices"

	"graft/train/torch"
)

// chunk is a sub-batch between its way forward and its way back.
type chunk struct {
	subBatch
	vectors *torch.Tensor // [texts, width]
	again   bool          // there is no graph behind vectors: the chunk runs once more
	rng     torch.RNG     // as it was before the chunk ran
}

// encodeAll runs the sub-batches. Each has random numbers of its own.
//
// With gradCache (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup") the graph of
// the last one alone is kept, of each worker: backward runs the others once more, from the same random numbers, so that
// their dropout masks are the same. A batch then needs the memory of its largest sub-batches, and its gradient is what it
// would be without.
func (t *step) encodeAll(s *torch.Scope, texts []text, batches []subBatch) []chunk {
	chunks := make([]chunk, len(batches))
	for i, b := range batches {
		last := i+1 == len(batches) || batches[i+1].worker != b.worker
		chunks[i] = chunk{subBatch: b, again: t.gradCache && !last, rng: t.rng}
		t.rng.Offset += drawsPerRun
	}
	err := t.workers.each(&t.encoder, func(worker int, e *encoder, s *torch.Scope) {
		for i := range chunks {
			c := &chunks[i]
			if c.worker != worker || s.Err() != nil {
				continue
			}
			rng := c.rng
			run := func() {
				c.vectors = s.Keep(e.forward(s, texts, c.subBatch, torch.RunOptions{Training: true, RNG: &rng}))
			}
			if c.again {
				s.NoGrad(run)
			} else {
				run()
			}
		}
	})
	for _, c := range chunks {
		s.Own(c.vectors)
	}
	if err != nil {
		s.Fail(err)
	}
	return chunks
}

// drawsPerRun is more than the dropouts of any model.
const drawsPerRun = 1 << 20

// joinChunks is the vectors of n texts in their order, [n, width], cut off from the graph, collecting a gradient.
func joinChunks(s *torch.Scope, chunks []chunk, n int) *torch.Tensor {
	vectors, row := make([]*torch.Tensor, len(chunks)), make([]int64, n)
	next := int64(0)
	for i, c := range chunks {
		vectors[i] = s.Detach(c.vectors)
		for _, text := range c.texts {
			row[text] = next
			next++
		}
	}
	joined := s.Cat(vectors, 0)
	if s.Err() != nil {
		return nil
	}
	joined = s.IndexSelect(joined, 0, s.ToDevice(s.Int64s(row, int64(n)), joined.Device()))
	if joined != nil {
		if err := joined.SetRequiresGrad(true); err != nil {
			s.Fail(err)
		}
	}
	return joined
}

// backward takes the gradient of the texts' vectors, [texts, width], back into the parameters, each worker's last chunk
// first.
func (t *step) backward(s *torch.Scope, texts []text, chunks []chunk, grad *torch.Tensor) {
	if s.Err() != nil {
		return
	}
	err := t.workers.each(&t.encoder, func(worker int, e *encoder, own *torch.Scope) {
		for _, c := range slices.Backward(chunks) {
			if c.worker != worker || own.Err() != nil {
				continue
			}
			vectors := c.vectors
			if c.again {
				vectors = e.forward(own, texts, c.subBatch, torch.RunOptions{Training: true, RNG: &c.rng})
			}
			rows := make([]int64, len(c.texts))
			for i, text := range c.texts {
				rows[i] = int64(text)
			}
			g := own.IndexSelect(grad, 0, own.ToDevice(own.Int64s(rows, int64(len(rows))), e.device))
			own.BackwardWith(vectors, g)
			own.Release(g)
			vectors.Free()
		}
	})
	if err == nil {
		err = t.workers.collect(&t.encoder)
	}
	if err != nil {
		s.Fail(err)
	}
}
