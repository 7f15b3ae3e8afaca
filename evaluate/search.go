package evaluate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"graft/lines"
)

// The block of scores that is computed at a time: 4 MiB, which a second-level cache or the
// share of a third-level cache holds until the rankings have seen it.
const (
	queryBlock    = 512
	documentBlock = 2048
)

// chunkDocuments is how many documents are encoded at a time, unless options say otherwise.
const chunkDocuments = 2048

// search finds the best documents of every query: the corpus is read, encoded, scored
// against all queries and dropped chunk by chunk.
func (j *job) search(ctx context.Context) (iter.Seq[Ranking], error) {
	state, err := j.openResume()
	if err != nil {
		return nil, err
	}
	s, limits, err := j.newRanker(ctx)
	if err != nil {
		return nil, err
	}
	if state != nil {
		s.heaps, j.counts, j.chunks, j.earlier = state.heaps, state.counts, state.chunks, state.seconds
	}
	if err := s.stream(ctx, limits); err != nil {
		return nil, err
	}
	if j.Shards > 1 {
		if err := s.mergeShards(); err != nil {
			return nil, err
		}
	}
	s.warnings()
	return s.run(), nil
}

// newRanker encodes the queries and settles how much of the corpus goes through memory at a time.
func (j *job) newRanker(ctx context.Context) (*ranker, limits, error) {
	queries, err := j.encodeQueries(ctx)
	if err != nil {
		return nil, limits{}, err
	}
	most, err := j.chunkLimits(queries)
	if err != nil {
		return nil, limits{}, err
	}
	return &ranker{job: j, queries: queries, heaps: make([]topK, queries.Rows), candidates: math.MaxInt}, most, nil
}

// encodeQueries encodes the queries, or takes the vectors of the interrupted run.
func (j *job) encodeQueries(ctx context.Context) (Matrix, error) {
	texts := make([]string, len(j.data.Queries))
	for i, q := range j.data.Queries {
		texts[i] = q.Text
	}
	if m, ok := j.readQueryVectors(len(texts)); ok {
		return m, nil
	}
	progress := j.progress("queries", len(texts))
	m, err := j.encode(ctx, texts, QueryRole, progress)
	if err != nil {
		return m, fmt.Errorf("encode queries: %w", err)
	}
	if i := m.notFinite(); i >= 0 {
		return m, fmt.Errorf("encode queries: the vector of query %q is not finite", j.data.Queries[i].ID)
	}
	progress(len(texts))
	return m, j.writeQueryVectors(m)
}

// encode returns a vector per text, of unit length for cosine.
func (j *job) encode(ctx context.Context, texts []string, role Role, done func(int)) (Matrix, error) {
	m, err := j.encoder.Encode(ctx, texts, role, done)
	if err != nil {
		return m, err
	}
	if err := ctx.Err(); err != nil {
		return m, err
	}
	if err := m.check(len(texts)); err != nil {
		return m, err
	}
	if j.Model.Similarity == "cosine" {
		m.normalize()
	}
	return m, nil
}

// limits bounds a chunk by its number of documents and the bytes of their texts.
type limits struct{ documents, bytes int }

// chunkLimits divides the memory budget. The result depends on nothing but the options
// and the queries, so a resumed run has the same chunks.
func (j *job) chunkLimits(queries Matrix) (limits, error) {
	rows, dim := int64(queries.Rows), int64(queries.Dim)
	fixed := rows*dim*4 + rows*int64(j.TopK)*8 + queryBlock*documentBlock*4
	rest := j.MemoryBudget - fixed
	if least := int64(1 << 20); rest < least {
		return limits{}, fmt.Errorf("memory budget of %d MiB is too small: %d queries of %d values and their %d best documents need %d MiB",
			j.MemoryBudget>>20, rows, dim, j.TopK, (fixed+least)>>20+1)
	}
	perDocument := dim * 4 * 2 // the vector, and a second copy where texts repeat
	return limits{
		documents: int(max(1, min(int64(j.ChunkDocuments), rest/2/perDocument))),
		bytes:     int(rest / 4), // texts are held twice: as read and joined with their titles
	}, nil
}

// ranker keeps the running best documents of every query.
type ranker struct {
	*job
	queries Matrix
	ids     idTable
	heaps   []topK
	scores  []float32 // a block
	chunk   chunk
	done    int // documents of interrupted runs, read again but not encoded

	candidates int // the first so many documents are ranked
	seen       func(first int, documents, queries Matrix) error
}

// chunk is the documents that are encoded next.
type chunk struct {
	ids   []string
	texts []string
	bytes int
}

// stream reads the corpus, skips what interrupted runs finished, and adds the rest.
func (s *ranker) stream(ctx context.Context, limits limits) error {
	skip := s.counts.Documents
	s.done = skip
	progress := s.progress("documents", s.print.documents)
	begun := false
	for d, err := range s.data.Documents {
		if err != nil {
			return fmt.Errorf("read corpus: %w", err)
		}
		if err := s.register(d); err != nil {
			return fmt.Errorf("read corpus: %w", err)
		}
		if s.ids.len() <= skip {
			continue
		}
		if !begun { // what was done before is read again by now, and takes no part in a rate
			progress(skip)
			begun = true
		}
		text := d.EncoderText()
		if s.settings.PairTitles {
			text = d.encoderPair()
		}
		if len(s.chunk.ids) > 0 && s.chunk.bytes+len(text) > limits.bytes {
			if err := s.flush(ctx, progress); err != nil {
				return err
			}
		}
		s.chunk.ids, s.chunk.texts = append(s.chunk.ids, d.ID), append(s.chunk.texts, text)
		s.chunk.bytes += len(text)
		if len(s.chunk.ids) == limits.documents {
			if err := s.flush(ctx, progress); err != nil {
				return err
			}
		}
	}
	if err := s.flush(ctx, progress); err != nil {
		return err
	}
	if s.counts.Documents == 0 {
		return errors.New("read corpus: no documents")
	}
	return nil
}

// register gives a document its position. An id that stands twice is an error that names
// both lines; the first is found by reading again.
func (s *ranker) register(d Document) error {
	if s.ids.len() == math.MaxUint32 {
		return errors.New("more documents than 32 bits count")
	}
	if _, found := s.ids.add(d.ID); !found {
		return nil
	}
	first := ""
	for e, err := range s.data.Documents {
		if err != nil || e.ID == d.ID {
			first = fmt.Sprintf(", first at %s:%d", e.file, e.line)
			break
		}
	}
	return lines.At(d.file, d.line, fmt.Errorf("document id %q stands twice%s", d.ID, first))
}

// flush encodes and scores the chunk, unless it is another shard's, and records that it is
// done.
func (s *ranker) flush(ctx context.Context, progress func(int)) error {
	if len(s.chunk.ids) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	mine := s.Shards < 2 || s.chunks%s.Shards == s.Shard-1
	if mine {
		if err := s.add(ctx, progress); err != nil {
			return err
		}
		s.count()
	}
	s.chunks++
	s.counts.Documents += len(s.chunk.ids)
	progress(s.counts.Documents)
	s.chunk = chunk{ids: s.chunk.ids[:0], texts: s.chunk.texts[:0]}
	if !mine {
		return nil
	}
	return s.writeResume(s.heaps)
}

// add encodes the chunk and offers its documents to the rankings.
func (s *ranker) add(ctx context.Context, progress func(int)) error {
	base := s.counts.Documents
	m, err := s.encode(ctx, s.chunk.texts, DocumentRole, func(n int) { progress(base + n) })
	if err != nil {
		return fmt.Errorf("encode documents: %w", err)
	}
	if i := m.notFinite(); i >= 0 {
		return fmt.Errorf("encode documents: the vector of document %q is not finite", s.chunk.ids[i])
	}
	if m.Dim != s.queries.Dim {
		return fmt.Errorf("encode documents: vectors of %d values, those of the queries have %d", m.Dim, s.queries.Dim)
	}
	if s.seen != nil {
		if err := s.seen(base, m, s.queries); err != nil {
			return err
		}
	}
	ranked := m.rows(0, max(0, min(m.Rows, s.candidates-base)))
	if err := s.rank(ctx, ranked, position(base)); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	return nil
}

// count adds the chunk to the counts.
func (s *ranker) count() {
	seen := map[string]bool{}
	for _, text := range s.chunk.texts {
		if strings.TrimSpace(strings.Replace(text, PairSeparator, "", 1)) == "" {
			s.counts.Empty++
		}
		if seen[text] {
			s.counts.Repeated++
		}
		seen[text] = true
	}
}

// rank scores documents, the first of which stands at position first, against all queries
// block by block, and offers the scores to the rankings.
func (s *ranker) rank(ctx context.Context, documents Matrix, first position) error {
	if s.scores == nil {
		s.scores = make([]float32, queryBlock*documentBlock)
	}
	for from := 0; from < documents.Rows; from += documentBlock {
		part := documents.rows(from, min(from+documentBlock, documents.Rows))
		for q := 0; q < s.queries.Rows; q += queryBlock {
			block := s.queries.rows(q, min(q+queryBlock, s.queries.Rows))
			if err := s.Scorer.Score(ctx, block, part, s.scores[:block.Rows*part.Rows]); err != nil {
				return err
			}
			parallel(block.Rows, 1, func(lo, hi int) {
				for i := lo; i < hi; i++ {
					s.heaps[q+i].update(s.TopK, s.scores[i*part.Rows:(i+1)*part.Rows], first+position(from), &s.ids)
				}
			})
		}
	}
	return nil
}

// run yields the rankings, best first. Each is made when it is asked for: as ids and hits,
// all of them would take several times the memory of the heaps.
func (s *ranker) run() iter.Seq[Ranking] {
	return func(yield func(Ranking) bool) {
		for q, h := range s.heaps {
			hits := make([]Hit, len(h.scores))
			for i, score := range h.scores {
				hits[i] = Hit{s.ids.id(h.documents[i]), float64(score)}
			}
			slices.SortFunc(hits, compareHits)
			if !yield(Ranking{s.data.Queries[q].ID, hits}) {
				return
			}
		}
	}
}

// warnings says what of the data was tolerated.
func (s *ranker) warnings() {
	if s.counts.Empty > 0 {
		s.warn("%d documents are empty and are encoded as they are", s.counts.Empty)
	}
	absent, first := 0, ""
	for _, q := range s.data.Queries {
		for document := range s.data.Qrels[q.ID] {
			if _, ok := s.ids.find(document); !ok {
				absent++
				if first == "" || document < first {
					first = document
				}
			}
		}
	}
	if absent > 0 {
		s.warn("%d judged documents are not in the corpus, %q is one; they count as not retrieved, as in mteb", absent, first)
	}
}

// progress returns a function that reports how many of total are done.
func (j *job) progress(phase string, total int) func(done int) {
	return func(done int) { j.Progress(Progress{j.task.Name, phase, done, max(total, done)}) }
}
