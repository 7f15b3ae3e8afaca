package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"graft/lines"
)

// record is one row of a data file, whichever of these columns it has; others are ignored.
type record struct {
	UnderscoreID cell `json:"_id"`
	ID           cell `json:"id"`
	DocID        cell `json:"docid"` // Tevatron's name of it
	Title        cell `json:"title"`
	Text         cell `json:"text"`
	Instruction  cell `json:"instruction"`
	QueryID      cell `json:"query-id"`
	CorpusID     cell `json:"corpus-id"`
	QID          cell `json:"qid"`
	PID          cell `json:"pid"`
	Score        cell `json:"score"`

	file string
	line int // row number in a Parquet file
}

// cell is a string, or a number in its decimal form: ids are strings everywhere.
type cell struct {
	value string
	set   bool  // present and not null
	err   error // the value is neither, which matters only where the cell is wanted
}

func (c *cell) UnmarshalJSON(data []byte) error {
	switch {
	case string(data) == "null":
		return nil
	case data[0] == '"':
		c.set = true
		return json.Unmarshal(data, &c.value)
	case data[0] == '-' || data[0] >= '0' && data[0] <= '9':
		c.value, c.set = string(data), true
		return nil
	}
	c.err = fmt.Errorf("not a JSON object of a document or query: %.20s where a string or a number should be", data)
	return nil
}

func text(s string) cell { return cell{value: s, set: true} }

// wants is the first error of cells that are wanted.
func wants(cells ...cell) error {
	for _, c := range cells {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}

// documentID returns the id of a document or a query, whose text and title can be read.
func (r *record) documentID() (string, error) {
	id := r.UnderscoreID
	for _, other := range []cell{r.ID, r.DocID} {
		if !id.set && id.err == nil {
			id = other
		}
	}
	if err := wants(id, r.Title, r.Text); err != nil {
		return "", err
	}
	if !id.set || id.value == "" {
		return "", errors.New("no _id (nor id)")
	}
	if strings.ContainsAny(id.value, "\t\r\n") { // would break every file that names it
		return "", fmt.Errorf("id %q holds a tab or a line end", id.value)
	}
	return id.value, nil
}

// queryText is the text as it is, with the data set's instruction after it.
func (r *record) queryText() string {
	if r.Instruction.value == "" {
		return r.Text.value
	}
	return r.Text.value + " " + r.Instruction.value
}

// readJSONLines yields one record per non-blank line of the files (.gz too).
func readJSONLines(paths ...string) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for _, path := range paths {
			for l, err := range lines.Read(path, nil) {
				if err != nil {
					yield(record{}, err)
					return
				}
				if l.Blank() {
					continue
				}
				r := record{file: path, line: l.Number}
				if err := json.Unmarshal(l.Text, &r); err != nil {
					yield(record{}, lines.At(path, l.Number, fmt.Errorf("not a JSON object of a document or query: %w", err)))
					return
				}
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// readTSVRecords yields id and text, or id, title and text, of a tab-separated file.
// A first row that starts with one of the header names is left out.
func readTSVRecords(path string, header ...string) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		first := true
		for row, err := range readTSV(path) {
			if err != nil {
				yield(record{}, err)
				return
			}
			if first && isHeader(row.fields, header) {
				first = false
				continue
			}
			first = false
			r := record{file: path, line: row.line}
			switch f := row.fields; len(f) {
			case 2:
				r.ID, r.Text = text(f[0]), text(f[1])
			case 3:
				r.ID, r.Title, r.Text = text(f[0]), text(f[1]), text(f[2])
			default:
				yield(record{}, lines.At(path, row.line, fmt.Errorf("%d fields, want id and text, or id, title and text", len(f))))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func isHeader(fields, names []string) bool {
	for _, name := range names {
		if strings.EqualFold(strings.TrimSpace(fields[0]), name) {
			return true
		}
	}
	return false
}
