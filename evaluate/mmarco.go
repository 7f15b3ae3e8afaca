package evaluate

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"graft/lines"
)

// MMARCO is mMARCO's training data (Bonifacio et al. 2021): MS MARCO's triples over passages and queries in another
// language, all tab-separated.
type MMARCO struct {
	Collection string // pid, passage
	Queries    string // qid, query
	Triples    string // qid, pid of a positive, pid of a negative
}

// Rows yields a row for each triple, in the order of their file. Passages are looked up in the collection, of which
// memory holds 16 bytes each.
func (m MMARCO) Rows() iter.Seq2[TrainingRow, error] {
	return func(yield func(TrainingRow, error) bool) {
		queries := map[string]string{}
		for row, err := range readTSV(m.Queries) {
			if err == nil && len(row.fields) != 2 {
				err = lines.At(m.Queries, row.line, fmt.Errorf("%d fields, want qid and query", len(row.fields)))
			}
			if err != nil {
				yield(TrainingRow{}, err)
				return
			}
			queries[row.fields[0]] = row.fields[1]
		}
		passages, err := openPassages(m.Collection)
		if err != nil {
			yield(TrainingRow{}, err)
			return
		}
		defer passages.file.Close()
		for row, err := range readTSV(m.Triples) {
			var r TrainingRow
			if err == nil {
				r, err = passages.triple(row.fields, queries)
				if err != nil {
					err = lines.At(m.Triples, row.line, err)
				}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// passages finds lines of a collection on disk by their number.
type passages struct {
	file *os.File
	at   []passageAt // by id
}

type passageAt struct {
	id, length uint32
	offset     int64
}

func openPassages(path string) (*passages, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, lines.In(path, err)
	}
	p := &passages{file: f}
	if err := p.index(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

// index notes where each passage lies.
func (p *passages) index() error {
	r := bufio.NewReaderSize(p.file, 1<<20)
	offset := int64(0)
	for number := 1; ; number++ {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return lines.In(p.file.Name(), err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			id, passage, ok := bytes.Cut(line, []byte("\t"))
			n, parseErr := strconv.ParseUint(string(id), 10, 32)
			if !ok || parseErr != nil || uint64(len(passage)) > 1<<31 {
				return lines.At(p.file.Name(), number, errors.New("want a number, a tab and a passage"))
			}
			p.at = append(p.at, passageAt{id: uint32(n), length: uint32(len(passage)), offset: offset + int64(len(id)) + 1})
		}
		if err == io.EOF {
			break
		}
		offset += int64(len(line))
	}
	byID := func(a, b passageAt) int { return cmp.Compare(a.id, b.id) }
	if !slices.IsSortedFunc(p.at, byID) {
		slices.SortFunc(p.at, byID)
	}
	return nil
}

// text reads a passage.
func (p *passages) text(id string) (string, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return "", fmt.Errorf("passage %q is not a number", id)
	}
	i, ok := slices.BinarySearchFunc(p.at, uint32(n), func(a passageAt, id uint32) int { return cmp.Compare(a.id, id) })
	if !ok {
		return "", fmt.Errorf("passage %q is not in the collection", id)
	}
	text := make([]byte, p.at[i].length)
	if _, err := p.file.ReadAt(text, p.at[i].offset); err != nil {
		return "", lines.In(p.file.Name(), err)
	}
	return strings.TrimRightFunc(string(text), unicode.IsSpace), nil
}

// triple is the row of a query's id and those of its two passages.
func (p *passages) triple(ids []string, queries map[string]string) (r TrainingRow, err error) {
	if len(ids) != 3 {
		return r, fmt.Errorf("%d fields, want qid and two pids", len(ids))
	}
	query, ok := queries[ids[0]]
	if !ok {
		return r, fmt.Errorf("query %q is not among the queries", ids[0])
	}
	positive, err := p.text(ids[1])
	if err != nil {
		return r, err
	}
	negative, err := p.text(ids[2])
	return TrainingRow{query, []string{positive}, []string{negative}}, err
}
