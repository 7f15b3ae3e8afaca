package evaluate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/lines"
)

// BEIRCounts is what WriteBEIR wrote.
type BEIRCounts struct{ Documents, Queries, Judgments int }

// WriteBEIR writes one split of a data set in the BEIR layout, with readme as its description. The
// folder appears as a whole or not at all; an existing one is replaced only if overwrite is set.
func WriteBEIR(dir string, d *Dataset, split, readme string, overwrite bool) (BEIRCounts, error) {
	c := BEIRCounts{Queries: len(d.Queries)}
	if _, err := os.Stat(dir); err == nil && !overwrite {
		return c, fmt.Errorf("write data set: %q: %w", dir, fs.ErrExist)
	}
	err := writeFolder(dir, map[string]func(io.Writer) error{
		"corpus.jsonl":  func(w io.Writer) (err error) { c.Documents, err = writeBEIRCorpus(w, d); return err },
		"queries.jsonl": func(w io.Writer) error { return writeBEIRQueries(w, d) },
		filepath.Join("qrels", split+".tsv"): func(w io.Writer) (err error) {
			c.Judgments, err = writeBEIRQrels(w, d)
			return err
		},
		"README.md": func(w io.Writer) error { _, err := io.WriteString(w, readme); return err },
	})
	if err != nil {
		return c, fmt.Errorf("write data set: %w", err)
	}
	return c, nil
}

type beirRow struct {
	ID    string  `json:"_id"`
	Title *string `json:"title,omitempty"`
	Text  string  `json:"text"`
}

func writeBEIRCorpus(w io.Writer, d *Dataset) (int, error) {
	return writeReadRows(w, func(yield func(beirRow, error) bool) {
		for doc, err := range d.Documents {
			if !yield(beirRow{doc.ID, &doc.Title, doc.Text}, err) {
				return
			}
		}
	})
}

// writeReadRows is writeRows of what is read meanwhile: it ends with the first row that cannot be read, and counts the others.
func writeReadRows[T any](w io.Writer, rows iter.Seq2[T, error]) (n int, failed error) {
	err := writeRows(w, func(yield func(T) bool) {
		for row, err := range rows {
			if err != nil {
				failed = err
				return
			}
			n++
			if !yield(row) {
				return
			}
		}
	})
	return n, errors.Join(err, failed)
}

func writeBEIRQueries(w io.Writer, d *Dataset) error {
	return writeRows(w, func(yield func(beirRow) bool) {
		for _, q := range d.Queries {
			if !yield(beirRow{ID: q.ID, Text: q.Text}) {
				return
			}
		}
	})
}

func writeBEIRQrels(w io.Writer, d *Dataset) (n int, err error) {
	p := &errorWriter{w: w}
	p.printf("query-id\tcorpus-id\tscore\n")
	for _, q := range d.Queries {
		for _, document := range slices.Sorted(maps.Keys(d.Qrels[q.ID])) {
			if strings.ContainsAny(q.ID+document, "\t\r\n") {
				return n, fmt.Errorf("the ids %q and %q cannot stand in tab-separated judgments", q.ID, document)
			}
			p.printf("%s\t%s\t%d\n", q.ID, document, d.Qrels[q.ID][document])
			n++
		}
	}
	return n, p.err
}

// writeFolder writes files into a temporary sibling of dir and puts it in dir's place.
func writeFolder(dir string, files map[string]func(io.Writer) error) (err error) {
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".tmp-"+filepath.Base(dir)+"-*")
	if err != nil {
		return lines.In(parent, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	for name, write := range files {
		if err := writeFile(filepath.Join(tmp, name), write); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}
