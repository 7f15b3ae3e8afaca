package evaluate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"graft/lines"
)

// TrainingRow is a row in the format that embedding trainers read.
type TrainingRow struct {
	Query     string   `json:"query"`
	Positives []string `json:"pos"`
	Negatives []string `json:"neg"`
}

// WriteTraining writes training data as a folder: train.jsonl, with readme as its description. It returns how many rows
// there are. The folder appears as a whole or not at all; an existing one is replaced only if overwrite is set.
func WriteTraining(dir string, rows iter.Seq2[TrainingRow, error], readme string, overwrite bool) (n int, err error) {
	if _, err := os.Stat(dir); err == nil && !overwrite {
		return 0, fmt.Errorf("write data set: %q: %w", dir, fs.ErrExist)
	}
	err = writeFolder(dir, map[string]func(io.Writer) error{
		"train.jsonl": func(w io.Writer) (err error) { n, err = writeReadRows(w, rows); return err },
		"README.md":   func(w io.Writer) error { _, err := io.WriteString(w, readme); return err },
	})
	if err != nil {
		return n, fmt.Errorf("write data set: %w", err)
	}
	return n, nil
}

// ReadTrainingRows yields the rows of a stream that name, in errors, stands for: objects with query, pos and neg, one a
// line, blank lines left out. A line that is none is an error with its number.
func ReadTrainingRows(r io.Reader, name string) iter.Seq2[TrainingRow, error] {
	return func(yield func(TrainingRow, error) bool) {
		for l, err := range lines.Of(r, name) {
			if err != nil {
				yield(TrainingRow{}, err)
				return
			}
			if l.Blank() {
				continue
			}
			var row TrainingRow
			err := lines.Unmarshal(l.Text, &row)
			if err == nil && (row.Query == "" || len(row.Positives) == 0) {
				err = errors.New("want a query and at least one of pos")
			}
			if err != nil {
				err = lines.At(name, l.Number, err)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}
