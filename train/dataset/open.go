package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"iter"

	"graft/lines"
)

// Errors that a command can say more about.
var (
	ErrNoNegatives = errors.New("neg is empty")
	ErrAlone       = errors.New("a query has no negatives but those of its group, and a group of 1 has none") // of a file with ownGroupSuffix
	ErrNoScores    = errors.New("teacher scores are missing")
)

// Options say what rows must have and which of them are used.
type Options struct {
	GroupSize  int   // passages of a query: one positive, the others negatives. 1: negatives are not read
	NeedScores bool  // every row must have teacher scores, for distillation
	Texts      bool  // a row may be a text alone; a line of a .txt file is one
	MaxPerFile int   // rows used of each file, chosen at random where it has more; 0: all
	Seed       int64 // of that choice

	NegativesOptional bool // a row may have none, whatever the group size
}

// Set is training data whose every line has been checked. It holds no text: rows are read again when asked for.
type Set struct {
	Sources  []Source
	Warnings []string // of what is no error and may be a mistake
	options  Options
	rows     int
}

// Open checks every line of the files, and of the data files of the folders, in paths: *.jsonl and *.json, one object a
// line, with Options.Texts also *.txt, one text a line, and all of them with .gz. Its error is a *lines.Error, or a Problems
// where there are several.
func Open(ctx context.Context, paths []string, o Options) (*Set, error) {
	if o.GroupSize < 1 {
		return nil, fmt.Errorf("group size is %d: it must be 1 or more", o.GroupSize)
	}
	if o.MaxPerFile < 0 {
		return nil, fmt.Errorf("rows per file are %d: they must be 0 or more", o.MaxPerFile)
	}
	sources, err := findSources(paths, o.Texts)
	if err != nil {
		return nil, err
	}
	s := &Set{Sources: sources, options: o}
	var problems problemList
	for i := range sources {
		if err := s.check(ctx, i, &problems); err != nil {
			return nil, err
		}
		source := &sources[i]
		source.Rows = source.Lines
		if o.MaxPerFile > 0 {
			source.Rows = min(source.Lines, o.MaxPerFile)
		}
		s.rows += source.Rows
	}
	return s, problems.err()
}

// check reads one file, counts its rows and sums its bytes. Its error is that of ctx.
func (s *Set) check(ctx context.Context, number int, problems *problemList) error {
	source := &s.Sources[number]
	before, sum := problems.count, sha256.New()
	blank, blanks := "", 0
	for row, err := range s.scan(ctx, number, sum) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			problems.add(err)
			continue
		}
		source.Lines++
		if what := row.blank(); what != "" {
			if blanks++; blanks == 1 {
				blank = fmt.Sprintf("%s:%d: %s", source.Path, row.Line, what)
			}
		}
	}
	sum.Sum(source.sum[:0])
	if blanks > 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s; rows of this file with a blank query, positive or text: %d", blank, blanks))
	}
	if problems.count == before {
		switch {
		case source.Lines == 0:
			problems.add(lines.In(source.Path, errors.New("no rows in it")))
		case source.OwnGroup && s.options.GroupSize == 1:
			problems.add(lines.In(source.Path, fmt.Errorf("its name ends in %s, so %w", ownGroupSuffix, ErrAlone)))
		}
	}
	return nil
}

// Len is the number of rows that are used.
func (s *Set) Len() int { return s.rows }

// Rows reads the rows that are used, file by file in the order of lines. It is an error where a file is not what Open
// saw; an error is the last thing it yields.
func (s *Set) Rows(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for i, source := range s.Sources {
			sum, selection := sha256.New(), source.selection(s.options, i)
			for row, err := range s.scan(ctx, i, sum) {
				if err != nil {
					yield(Row{}, err)
					return
				}
				if selection.take() && !yield(row, nil) {
					return
				}
			}
			if !bytes.Equal(sum.Sum(nil), source.sum[:]) {
				yield(Row{}, lines.In(source.Path, errors.New("has changed since it was checked")))
				return
			}
		}
	}
}

// Row reads row i. It reads the files up to there, so it is for looking at a few.
func (s *Set) Row(i int) (Row, error) {
	if i >= 0 {
		for row, err := range s.Rows(context.Background()) {
			if err != nil || i == 0 {
				return row, err
			}
			i--
		}
	}
	return Row{}, fmt.Errorf("row is outside of 0 to %d", s.rows-1)
}

// scan yields every row of a file. After the error of a line it goes on with the next one. sum gets the file's bytes.
func (s *Set) scan(ctx context.Context, number int, sum hash.Hash) iter.Seq2[Row, error] {
	path := s.Sources[number].Path
	parse := parseRow
	if s.options.Texts && isText(path) {
		parse = parseText
	}
	return parseLines(ctx, lines.Read(path, sum), func(l lines.Line) (Row, error) {
		row, err := s.row(l.Text, parse)
		row.Source, row.Line = number, l.Number
		if err != nil {
			err = lines.At(path, l.Number, err)
		}
		return row, err
	})
}

// row reads a line and checks what the options ask for.
func (s *Set) row(text []byte, parse func([]byte) (Row, error)) (Row, error) {
	r, err := parse(text)
	if err != nil {
		return r, err
	}
	if r.Text && !s.options.Texts {
		return r, errTextAlone
	}
	if s.options.GroupSize == 1 {
		r.Neg, r.NegScores = nil, nil
	} else if len(r.Neg) == 0 && !s.options.NegativesOptional {
		return r, noNegatives(s.options.GroupSize)
	}
	if s.options.NeedScores {
		switch {
		case r.PosScores == nil:
			return r, fmt.Errorf("%w: distillation needs pos_scores", ErrNoScores)
		case r.NegScores == nil && len(r.Neg) > 0:
			return r, fmt.Errorf("%w: distillation needs neg_scores", ErrNoScores)
		}
	}
	return r, nil
}

var errTextAlone = errors.New("query is missing: a row of a text alone trains on a teacher's vectors only")

// noNegatives is the error of a row without negatives.
func noNegatives(groupSize int) error {
	return fmt.Errorf("%w, and a group of %d passages has %d of it", ErrNoNegatives, groupSize, groupSize-1)
}
