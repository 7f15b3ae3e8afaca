package evaluate

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/lines"
)

// Document is one entry of a corpus.
type Document struct {
	ID    string
	Title string
	Text  string

	file string // where it stands, for errors
	line int
}

// EncoderText is what is encoded: title and text joined by a blank, stripped of white
// space at both ends; the text alone where the title is empty (mteb, _create_dataloaders.py).
func (d Document) EncoderText() string {
	if d.Title == "" {
		return strings.TrimSpace(d.Text)
	}
	return strings.TrimSpace(d.Title + " " + d.Text)
}

// PairSeparator stands between title and text where an encoder takes documents as pairs: a unit separator (U+001F), which titles do not hold.
const PairSeparator = "\x1f"

// encoderPair is title and text joined by PairSeparator.
func (d Document) encoderPair() string {
	return strings.ReplaceAll(d.Title, PairSeparator, " ") + PairSeparator + d.Text
}

// Query is one query as it is encoded, an instruction of the data set included.
type Query struct {
	ID   string
	Text string
}

// Dataset is a retrieval task on disk, opened for one split: queries and judgments in
// memory, the corpus as a stream.
type Dataset struct {
	Layout  string  // name of the layout it was read in
	Queries []Query // those with at least one judgment, in the order of their file
	Qrels   Qrels
	// Documents streams the corpus from the start at each use. The first error ends
	// it and names file and line.
	Documents iter.Seq2[Document, error]
	// CorpusFiles and OtherFiles are all the files that were or will be read.
	CorpusFiles, OtherFiles []string
	Warnings                []string
}

// Layout is one way in which a data set lies on disk.
type Layout struct {
	Name   string
	Doc    string
	Detect func(dir string) bool
	Open   func(dir, split string) (*Dataset, error)
}

// Layouts lists what OpenDataset recognizes, tried in this order: more specific first.
var Layouts = []Layout{beir, t2Ranking, msMarco, hub}

// ErrNoDataset says that a folder holds no data set in a known layout.
var ErrNoDataset = errors.New("no data set in a known layout")

// OpenDataset opens the data set in a folder, whatever its layout. Judgments of unknown
// queries, malformed lines and duplicate ids of queries are errors here; faults of the
// corpus appear while Documents is read.
func OpenDataset(dir, split string) (*Dataset, error) {
	l, err := detectLayout(dir)
	if err != nil {
		return nil, err
	}
	d, err := l.Open(dir, split)
	if err != nil {
		return nil, fmt.Errorf("open data set: %w", err)
	}
	d.Layout = l.Name
	return d, nil
}

func detectLayout(dir string) (*Layout, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open data set: %w", err)
	}
	var known []string
	for i := range Layouts {
		if Layouts[i].Detect(dir) {
			return &Layouts[i], nil
		}
		known = append(known, Layouts[i].Doc)
	}
	return nil, fmt.Errorf("open data set: %q: %w; known: %s", dir, ErrNoDataset, strings.Join(known, "; "))
}

// existing returns the first of the names that is there, itself or with .gz.
func existing(dir string, names ...string) (string, bool) {
	for _, name := range names {
		for _, suffix := range []string{"", ".gz"} {
			path := filepath.Join(dir, name+suffix)
			if s, err := os.Stat(path); err == nil && !s.IsDir() {
				return path, true
			}
		}
	}
	return "", false
}

// required is existing with an error that says what was looked for.
func required(dir string, names ...string) (string, error) {
	path, ok := existing(dir, names...)
	if !ok {
		return "", fmt.Errorf("%q has no %s (nor .gz)", dir, strings.Join(names, " or "))
	}
	return path, nil
}

// selectQueries keeps the queries that have judgments. A judged query that does not exist
// is an error, as is an id that occurs twice.
func selectQueries(rows iter.Seq2[record, error], j *judgments) ([]Query, error) {
	var queries []Query
	seen := map[string]int{}
	text, last := false, record{}
	for r, err := range rows {
		if err != nil {
			return nil, err
		}
		id, err := r.documentID()
		if err != nil {
			return nil, lines.At(r.file, r.line, err)
		}
		if first, ok := seen[id]; ok {
			return nil, lines.At(r.file, r.line, fmt.Errorf("query id %q stands twice, first at line %d", id, first))
		}
		seen[id] = r.line
		text, last = text || r.Text.set, r
		if _, judged := j.qrels[id]; judged {
			queries = append(queries, Query{id, r.queryText()})
		}
	}
	if len(seen) > 0 && !text {
		return nil, lines.In(last.file, errors.New("no query has a text (text)"))
	}
	if unknown := len(j.order) - len(queries); unknown > 0 {
		first := slices.IndexFunc(j.order, func(id string) bool { return seen[id] == 0 })
		id := j.order[first]
		return nil, lines.At(j.file, j.line[id], fmt.Errorf("judged query %q is not among the queries (%d such queries)", id, unknown))
	}
	return queries, nil
}

// documents turns records into documents. Empty ones are none of its business, but a corpus in which none has a text
// has it in a field of another name.
func documents(rows iter.Seq2[record, error]) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		text, last := false, record{}
		for r, err := range rows {
			if err != nil {
				yield(Document{}, err)
				return
			}
			id, err := r.documentID()
			if err != nil {
				yield(Document{}, lines.At(r.file, r.line, err))
				return
			}
			text, last = text || r.Text.set || r.Title.set, r
			d := Document{ID: id, Title: r.Title.value, Text: r.Text.value, file: r.file, line: r.line}
			if !yield(d, nil) {
				return
			}
		}
		if last.file != "" && !text {
			yield(Document{}, lines.In(last.file, errors.New("no document has a text (text, title)")))
		}
	}
}
