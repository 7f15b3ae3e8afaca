package evaluate

import (
	"iter"
	"strings"

	"graft/lines"
)

// readTSV yields the tab-separated fields of a file's lines. Quotes mean nothing;
// blank lines are skipped.
func readTSV(path string) iter.Seq2[tsvRow, error] {
	return func(yield func(tsvRow, error) bool) {
		for l, err := range lines.Read(path, nil) {
			if err != nil {
				yield(tsvRow{}, err)
				return
			}
			if l.Blank() {
				continue
			}
			if !yield(tsvRow{l.Number, strings.Split(string(l.Text), "\t")}, nil) {
				return
			}
		}
	}
}

type tsvRow struct {
	line   int
	fields []string
}
