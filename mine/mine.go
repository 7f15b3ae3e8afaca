// Package mine finds hard negatives for training data: passages that a model takes for close to a query although they are
// not known to answer it.
//
// Every distinct query is compared with every candidate passage, exactly and streamed (evaluate.Search). Among the nearest
// ones, a range of ranks is taken, what is likely an answer that nobody marked is left out, and the negatives are drawn from
// the rest. The stages: the pool of passages (pool.go), the queries with all that is known of them (questions.go), what of a
// ranking qualifies (choose.go), the rows (write.go).
package mine

import (
	"context"
	"fmt"
	"iter"
	"os"
	"slices"

	"graft/evaluate"
	"graft/train/dataset"
)

// Options is what Run is told.
type Options struct {
	Input  []string // files or folders of rows, as training reads them
	Corpus string   // file or BEIR folder of the candidates; "": all passages of the rows
	Output string   // file to make; packed where its name ends in .gz

	Ranks     Range
	Negatives int // of a row, at the most
	Sampling  string
	Seed      uint64
	Limits    Limits

	// WithScores writes pos_scores and neg_scores.
	WithScores bool

	QueryPrompt  string // before each query, but of rows that bring their own; Encoder puts none before queries
	Encoder      evaluate.Encoder
	Scorer       evaluate.Scorer
	Similarity   string // "cosine" or "dot"
	MemoryBudget int64  // bytes of the search, as evaluate.Options has it
	// Teacher, if not nil, gives the scores that are written, in the place of Encoder's.
	Teacher                               evaluate.Encoder
	TeacherQueryPrompt, TeacherSimilarity string

	Progress func(evaluate.Progress) // may be nil
	Warn     func(string)
}

// The ways of drawing negatives from the candidates that qualify.
const (
	Random = "random" // evenly, by Options.Seed
	Top    = "top"    // the nearest
)

// Report is what became of the rows.
type Report struct {
	Rows       int `json:"rows"`
	Written    int `json:"written"`
	Empty      int `json:"empty"` // without any negative; left out
	Short      int `json:"short"` // written with fewer negatives than were asked for
	Queries    int `json:"queries"`
	Candidates int `json:"candidates"` // distinct passages
	Negatives  int `json:"negatives"`  // of all rows
	// Refused counts, over the queries, the candidates in the range of ranks that were left out, by the reason.
	Refused map[string]int `json:"refused"`
	// The means over queries of the least score of a positive and over the mined negatives of theirs, by the model that mines.
	PositiveScore float64 `json:"positive_score"`
	NegativeScore float64 `json:"negative_score"`
}

// Run mines negatives for the rows of the input and writes rows that training reads: the same queries and positives, with
// the mined negatives in the place of those that the rows had. The same options and data give the same file.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	rows, err := dataset.Open(ctx, o.Input, dataset.Options{GroupSize: 2, NegativesOptional: true})
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	for _, w := range rows.Warnings {
		o.Warn(w)
	}
	for _, source := range rows.Sources {
		in, err := os.Stat(source.Path)
		if out, missing := os.Stat(o.Output); err == nil && missing == nil && os.SameFile(in, out) {
			return nil, fmt.Errorf("output %q is the input", o.Output)
		}
	}
	pool, err := newPool(o.Output)
	if err != nil {
		return nil, err
	}
	defer pool.close()
	if err := o.gather(ctx, rows, pool); err != nil {
		return nil, err
	}
	q, err := readQuestions(ctx, rows, pool)
	if err != nil {
		return nil, err
	}
	rankings, err := o.search(ctx, q, pool)
	if err != nil {
		return nil, err
	}
	r := &Report{Rows: len(q.ofRow), Queries: len(q.all), Candidates: pool.candidates, Refused: map[string]int{}}
	o.choose(q, rankings, r)
	if !slices.ContainsFunc(q.all, func(one question) bool { return len(one.negative) > 0 }) {
		return nil, &NoneError{Rows: r.Rows, Candidates: r.Candidates, Ranks: o.Ranks, Refused: r.Refused}
	}
	if o.WithScores && o.Teacher != nil {
		if err := o.scoreByTeacher(ctx, q, pool); err != nil {
			return nil, fmt.Errorf("teacher: %w", err)
		}
	}
	return r, o.write(ctx, rows, q, pool, r)
}

// NoneError says that no row would have a negative.
type NoneError struct {
	Rows, Candidates int
	Ranks            Range
	Refused          map[string]int // as in Report
}

func (e *NoneError) Error() string {
	refused := 0
	for _, n := range e.Refused {
		refused += n
	}
	return fmt.Sprintf("none of %d rows has a negative: %d candidates, of which the ranks %v are taken and %d left out", e.Rows, e.Candidates, &e.Ranks, refused)
}

// Check says what is wrong with the options that a user gives.
func (o *Options) Check() error {
	switch {
	case o.Ranks.First < 0 || o.Ranks.End <= o.Ranks.First:
		return fmt.Errorf("range %v: want FIRST-END with 0 ≤ FIRST < END", &o.Ranks)
	case o.Negatives < 1:
		return fmt.Errorf("%d negatives: want at least 1", o.Negatives)
	case o.Negatives > o.Ranks.End-o.Ranks.First:
		return fmt.Errorf("%d negatives cannot be drawn from the %d ranks %v", o.Negatives, o.Ranks.End-o.Ranks.First, &o.Ranks)
	case o.Sampling != Random && o.Sampling != Top:
		return fmt.Errorf("sampling %q is neither %s nor %s", o.Sampling, Random, Top)
	}
	return nil
}

// search ranks the candidates for every question and takes the scores of the positives on the way.
func (o *Options) search(ctx context.Context, q *questions, p *pool) (iter.Seq[evaluate.Ranking], error) {
	watched := q.positives()
	return evaluate.Search(ctx, evaluate.SearchOptions{
		Queries: q.texts(o.QueryPrompt), Documents: p.documents(nil), Candidates: p.candidates, DocumentCount: p.len(),
		Seen: watched.take, Encoder: o.Encoder, Scorer: o.Scorer, Similarity: o.Similarity,
		TopK: min(o.Ranks.End, max(p.candidates, 1)), MemoryBudget: o.MemoryBudget, Progress: o.Progress,
	})
}
