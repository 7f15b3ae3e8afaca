package evaluate

import (
	"context"
	"errors"
	"iter"
	"time"

	"graft/lines"
)

// SearchOptions is what Search is run with.
type SearchOptions struct {
	Queries []Query
	// Documents streams the corpus, each id once. The first Candidates of them, of DocumentCount, are ranked.
	Documents                 iter.Seq2[Document, error]
	Candidates, DocumentCount int
	// Seen, if not nil, is shown each chunk's vectors before they are ranked and dropped, those behind Candidates too:
	// first is the position of the chunk's first document. The vectors are as they are compared.
	Seen func(first int, documents, queries Matrix) error

	Encoder      Encoder
	Scorer       Scorer // nil is GoScorer
	Similarity   string // "cosine": vectors are brought to length 1 before they are compared; "dot"
	TopK         int    // documents kept per query
	MemoryBudget int64  // bytes, as in Options
	Progress     func(Progress)
}

// Search finds the nearest documents of every query, exactly and streamed as a task is searched, without a task's
// judgments, files and resuming. The rankings come in the order of the queries, best first.
func Search(ctx context.Context, o SearchOptions) (iter.Seq[Ranking], error) {
	options := Options{
		Model: ModelMeta{Similarity: o.Similarity}, Scorer: o.Scorer, TopK: o.TopK, MemoryBudget: o.MemoryBudget, Progress: o.Progress,
		ChunkDocuments: chunkDocuments, Now: time.Now,
	}
	if options.Scorer == nil {
		options.Scorer = GoScorer{}
	}
	if options.Progress == nil {
		options.Progress = func(Progress) {}
	}
	j := &job{
		Options: options, encoder: o.Encoder, started: time.Now(),
		data: &Dataset{Queries: o.Queries, Documents: o.Documents}, print: fingerprint{documents: o.DocumentCount},
	}
	s, limits, err := j.newRanker(ctx)
	if err != nil {
		return nil, err
	}
	s.candidates, s.seen = o.Candidates, o.Seen
	if err := s.stream(ctx, limits); err != nil {
		return nil, err
	}
	return s.run(), nil
}

// ReadTexts yields the texts of a corpus in JSON lines, packed or not: "text", after its title where it has one, as they
// are encoded. Lines are those of the BEIR layout; ids are not needed. The first error ends it and names file and line.
func ReadTexts(path string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for r, err := range readJSONLines(path) {
			if err == nil {
				err = r.wantText()
			}
			if err != nil {
				yield("", err)
				return
			}
			if !yield(Document{Title: r.Title.value, Text: r.Text.value}.EncoderText(), nil) {
				return
			}
		}
	}
}

// wantText is the error of a row without a text.
func (r *record) wantText() error {
	err := wants(r.Title, r.Text)
	if err == nil && !r.Text.set {
		err = errors.New("no text")
	}
	if err != nil {
		return lines.At(r.file, r.line, err)
	}
	return nil
}
