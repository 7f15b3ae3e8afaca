package mine

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"graft/lines"
	"graft/train/dataset"
)

// row is a line of the output, in the fields that training reads.
type row struct {
	Query     string    `json:"query"`
	Pos       []string  `json:"pos"`
	Neg       []string  `json:"neg"`
	PosScores []float32 `json:"pos_scores,omitempty"`
	NegScores []float32 `json:"neg_scores,omitempty"`
	Prompt    *string   `json:"prompt,omitempty"`
	Type      string    `json:"type,omitempty"`
}

// write writes the rows that have a negative, through a temporary sibling that is renamed when it is complete.
func (o *Options) write(ctx context.Context, rows *dataset.Set, q *questions, p *pool, r *Report) (err error) {
	f, err := os.CreateTemp(filepath.Dir(o.Output), "."+filepath.Base(o.Output)+"-*")
	if err != nil {
		return fmt.Errorf("write rows: %w", lines.In(o.Output, err))
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write rows: %w", err)
		}
	}()
	b := bufio.NewWriterSize(f, 1<<18)
	if strings.HasSuffix(o.Output, ".gz") {
		z := gzip.NewWriter(b)
		err = cmp.Or(o.writeRows(ctx, z, rows, q, p, r), z.Close())
	} else {
		err = o.writeRows(ctx, b, rows, q, p, r)
	}
	if err == nil {
		err = cmp.Or(b.Flush(), f.Chmod(0o644), f.Close())
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), o.Output)
}

func (o *Options) writeRows(ctx context.Context, w io.Writer, rows *dataset.Set, q *questions, p *pool, r *Report) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	i := 0
	for in, err := range rows.Rows(ctx) {
		if err != nil {
			return err
		}
		question := &q.all[q.ofRow[i]]
		i++
		switch n := len(question.negative); {
		case n == 0:
			r.Empty++
			continue
		case n < o.Negatives:
			r.Short++
		}
		line, err := o.row(&in, question, p)
		if err != nil {
			return err
		}
		if err := out.Encode(line); err != nil {
			return err
		}
		r.Written++
		r.Negatives += len(line.Neg)
	}
	return nil
}

// row puts the mined negatives into a row.
func (o *Options) row(in *dataset.Row, q *question, p *pool) (*row, error) {
	out := &row{Query: in.Query, Pos: in.Pos, Neg: make([]string, len(q.negative)), Prompt: in.Prompt, Type: in.Type}
	for i, s := range q.negative {
		var err error
		if out.Neg[i], err = p.text(s.passage); err != nil {
			return nil, err
		}
	}
	if !o.WithScores {
		return out, nil
	}
	for _, s := range q.negative {
		out.NegScores = append(out.NegScores, s.score)
	}
	for _, text := range in.Pos {
		at := p.at[digestOf(text)]
		for _, s := range q.positive {
			if s.passage == at {
				out.PosScores = append(out.PosScores, s.score)
			}
		}
	}
	return out, nil
}
