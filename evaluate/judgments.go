package evaluate

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"graft/lines"
)

// judgments is a judgment file in memory.
type judgments struct {
	qrels    Qrels
	order    []string       // query ids in the order of the file
	line     map[string]int // first line of each query
	file     string
	repeated int // judgments that stand twice with the same grade
}

func newJudgments(file string) *judgments {
	return &judgments{qrels: Qrels{}, line: map[string]int{}, file: file}
}

// add records a judgment. Twice the same is counted, a contradiction is an error.
func (j *judgments) add(file string, line int, query, document, grade string) error {
	g, err := parseGrade(grade)
	if err != nil {
		return lines.At(file, line, err)
	}
	if query == "" || document == "" {
		return lines.At(file, line, fmt.Errorf("empty query or document id"))
	}
	byDocument, ok := j.qrels[query]
	if !ok {
		byDocument = map[string]int{}
		j.qrels[query] = byDocument
		j.order = append(j.order, query)
		j.line[query] = line
	}
	if old, ok := byDocument[document]; ok {
		if old != g {
			return lines.At(file, line, fmt.Errorf("document %q is judged twice for query %q: %d and %d", document, query, old, g))
		}
		j.repeated++
	}
	byDocument[document] = g
	return nil
}

// parseGrade reads an integer, also one written as 1.0.
func parseGrade(s string) (int, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<31 {
		return 0, fmt.Errorf("judgment %q is not an integer", s)
	}
	return int(f), nil
}

// warnings says what was tolerated.
func (j *judgments) warnings() []string {
	if j.repeated == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: %d judgments stand twice", j.file, j.repeated)}
}

// judgmentColumns says which fields of a row are query, document and grade; a grade of
// -1 means that every row is a judgment of 1.
type judgmentColumns struct{ query, document, grade int }

// readTSVJudgments reads tab-separated judgments (or blank-separated, where a line has no
// tab); columns is keyed by the number of fields. A first row whose grade is no number,
// or whose first field is a header name, is left out.
func readTSVJudgments(path string, columns map[int]judgmentColumns, header ...string) (*judgments, error) {
	j := newJudgments(path)
	first := true
	for row, err := range readTSV(path) {
		if err != nil {
			return nil, err
		}
		f := row.fields
		if len(f) == 1 {
			f = strings.Fields(f[0])
		}
		c, ok := columns[len(f)]
		if !ok {
			return nil, lines.At(path, row.line, fmt.Errorf("%d fields in a judgment", len(f)))
		}
		grade := "1"
		if c.grade >= 0 {
			grade = f[c.grade]
		}
		_, notANumber := parseGrade(grade)
		if first && (isHeader(f, header) || notANumber != nil) {
			first = false
			continue
		}
		first = false
		if err := j.add(path, row.line, f[c.query], f[c.document], grade); err != nil {
			return nil, err
		}
	}
	if len(j.qrels) == 0 {
		return nil, lines.In(path, fmt.Errorf("no judgments"))
	}
	return j, nil
}
