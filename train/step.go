//go:build !lite

package train

import (
	"errors"
	"fmt"

	"graft/train/dataset"
	"graft/train/loss"
	"graft/train/torch"
)

// step is the arithmetic of a batch: from token ids to gradients.
//
// The texts are encoded in sub-batches and joined before the loss, so the loss is that of the whole batch however it is
// cut. The gradient goes back in two stages: the loss gives that of the embeddings, and each sub-batch takes its rows of
// it back into the parameters. Between the stages nothing of the encoder is needed but what a sub-batch keeps for its way
// back, or, with gradCache, nothing at all (gradcache.go).
type step struct {
	encoder // of the calling thread
	batching
	workers   workers
	loss      *loss.Loss
	gradCache bool
	rng       torch.RNG // of dropout; moves on with every batch

	steps      int           // batches whose gradients are added up before the optimizer steps
	gatherer   loss.Gatherer // joins the batches of several processes; nil: there is one, or each trains on its own
	replicated bool          // every process scores all queries: the gradient is 1/World of the exact one, see loss.RunReplicated
	mask       bool          // passages equal to a known positive of a query are no negatives of it
}

// stats tell what a batch was.
type stats struct {
	loss   float64     // of the batch, divided by step.steps: those of an optimizer's step add up to its mean
	parts  []loss.Part // what the batch's loss is made of, not divided
	tokens int         // encoded, without padding
	padded int         // encoded, with padding
}

// accumulate adds the gradient of a batch's loss, divided by step.steps and multiplied by scale, to the parameters' own.
// scale is that of fp16 training, else 1; the loss that is returned does not have it.
func (t *step) accumulate(b dataset.Batch, scale float64) (stats, error) {
	defer torch.Lock()()
	s := torch.NewScope()
	defer s.Close()
	if len(b.Groups) == 0 {
		return stats{}, errors.New("train step: the batch is empty")
	}
	texts, err := t.collect(b, t.loss.Passages(len(b.Groups[0].Passages)))
	if err != nil {
		return stats{}, fmt.Errorf("train step: %w", err)
	}
	if err := t.workers.start(&t.encoder); err != nil {
		return stats{}, fmt.Errorf("train step: %w", err)
	}
	chunks := t.encodeAll(s, texts.texts, t.split(texts))
	joined := joinChunks(s, chunks, len(texts.texts))
	result := t.lossOf(s, b, texts, joined)
	if s.Err() != nil {
		return stats{}, fmt.Errorf("train step: %w", s.Err())
	}
	t.backward(s, texts.texts, chunks, s.MulScalar(s.Own(joined.Grad()), scale/float64(t.steps)))
	if s.Err() != nil {
		return stats{}, fmt.Errorf("train step: %w", s.Err())
	}
	st := stats{loss: result.Value / float64(t.steps), parts: result.Parts}
	for _, c := range chunks {
		st.padded += len(c.texts) * c.length
		for _, n := range c.texts {
			st.tokens += len(texts.texts[n].ids)
		}
	}
	return st, nil
}

// lossOf evaluates the loss of the texts' vectors, and puts its gradient into joined's own.
func (t *step) lossOf(s *torch.Scope, b dataset.Batch, texts *batchTexts, joined *torch.Tensor) *loss.Result {
	pick := func(rows []int64) *torch.Tensor {
		return s.IndexSelect(joined, 0, s.ToDevice(s.Int64s(rows, int64(len(rows))), t.device))
	}
	queries, passages := pick(texts.queries), pick(texts.passages)
	in := loss.Input{Queries: queries, Passages: passages, Group: texts.group}
	if err := t.lossInput(s, b, &in); err != nil {
		s.Fail(err)
	}
	var result *loss.Result
	switch {
	case s.Err() != nil:
	case t.gatherer == nil:
		result = t.loss.Run(s, in)
	case t.replicated:
		result = t.loss.RunReplicated(s, in, t.gatherer)
	default:
		result = t.loss.RunAcross(s, in, t.gatherer)
	}
	if result != nil {
		s.BackwardWith(queries, result.Queries)
		s.BackwardWith(passages, result.Passages)
	}
	return result
}

// lossInput completes a loss's input with what the batch says beside its texts.
func (t *step) lossInput(s *torch.Scope, b dataset.Batch, in *loss.Input) error {
	switch {
	case t.loss.ReadsVectors():
		if err := t.teacherVectors(s, b, in); err != nil {
			return err
		}
	case t.loss.Distill != "":
		var scores []float32
		for _, g := range b.Groups {
			own := t.teacherScores(g)
			if len(own) != in.Group {
				return fmt.Errorf("row %d has %d teacher's scores for %d passages", g.Row+1, len(own), in.Group)
			}
			scores = append(scores, own...)
		}
		in.Teacher = s.ToDevice(s.Float32s(scores, int64(len(b.Groups)), int64(in.Group)), t.device)
	}
	if t.gatherer != nil && !t.replicated {
		in.First = t.gatherer.Rank() * len(b.Groups) * in.Group
	}
	for i, g := range b.Groups {
		if !g.OwnGroup {
			continue
		}
		if in.OwnGroup == nil {
			in.OwnGroup = make([]bool, len(b.Groups))
		}
		in.OwnGroup[i] = true
	}
	if t.replicated && (t.mask || in.OwnGroup != nil) {
		return errors.New("negatives that do not count are not supported where every process scores all queries")
	}
	if !t.mask {
		return nil
	}
	hashes, err := t.passageHashes(s, b, in.Group)
	if err != nil {
		return err
	}
	positives := make([][]uint64, len(b.Groups))
	for i, g := range b.Groups {
		positives[i] = g.KnownPositives
	}
	in.Ignore = loss.FalseNegatives(positives, hashes, in.Group, in.First)
	return nil
}

// passageHashes are those of all passages that are scored, other processes' too.
func (t *step) passageHashes(s *torch.Scope, b dataset.Batch, group int) ([]uint64, error) {
	var hashes []uint64
	for _, g := range b.Groups {
		hashes = append(hashes, g.PassageHashes[:group]...)
	}
	if t.gatherer == nil {
		return hashes, nil
	}
	own := make([]int64, len(hashes))
	for i, h := range hashes {
		own[i] = int64(h)
	}
	all := t.gatherer.Gather(s, s.ToDevice(s.Int64s(own, int64(len(own))), t.device))
	if s.Err() != nil {
		return nil, s.Err()
	}
	ids, err := all.Int64s()
	if err != nil {
		return nil, err
	}
	hashes = hashes[:0]
	for _, h := range ids {
		hashes = append(hashes, uint64(h))
	}
	return hashes, nil
}
