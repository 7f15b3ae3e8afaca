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

// encodeAll runs the sub-batches. Each begins with the random numbers where the one before ended.
//
// With gradCache (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup") the graph of
// the last one alone is kept: backward runs the others once more, from the same random numbers, so that their dropout
// masks are the same. A batch then needs the memory of its largest sub-batch, and its gradient is what it would be without.
func (t *step) encodeAll(s *torch.Scope, texts []text, batches []subBatch) []chunk {
	chunks := make([]chunk, len(batches))
	for i, b := range batches {
		c := &chunks[i]
		c.subBatch, c.again, c.rng = b, t.gradCache && i+1 < len(batches), t.rng
		run := func() { c.vectors = t.forward(s, texts, b, torch.RunOptions{Training: true, RNG: &t.rng}) }
		if c.again {
			s.NoGrad(run)
		} else {
			run()
		}
	}
	return chunks
}

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

// backward takes the gradient of the texts' vectors, [texts, width], back into the parameters, the last chunk first.
func (t *step) backward(s *torch.Scope, texts []text, chunks []chunk, grad *torch.Tensor) {
	for _, c := range slices.Backward(chunks) {
		if s.Err() != nil {
			return
		}
		vectors := c.vectors
		if c.again {
			vectors = t.forward(s, texts, c.subBatch, torch.RunOptions{Training: true, RNG: &c.rng})
		}
		rows := make([]int64, len(c.texts))
		for i, text := range c.texts {
			rows[i] = int64(text)
		}
		own := s.IndexSelect(grad, 0, s.ToDevice(s.Int64s(rows, int64(len(rows))), t.device))
		s.BackwardWith(vectors, own)
		s.Release(vectors, own)
	}
}
