package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Row is one line of training data.
type Row struct {
	Source int // number of its file in Set.Sources
	Line   int // in that file, from 1

	Query     string
	Pos, Neg  []string
	PosScores []float64 // of each of Pos; nil where the line has none
	NegScores []float64 // of each of Neg
	Prompt    *string   // replaces the query instruction, even by nothing; nil: the line has none
	Type      string    // FlagEmbedding's kind of task; not used
	Text      bool      // the row is a text alone: it is both Query and the one of Pos, and read as a passage
}

// parseRow reads a row and checks what holds for every row.
func parseRow(text []byte) (Row, error) {
	f, err := parseObject(text)
	if err != nil {
		return Row{}, err
	}
	if f.has("text") && !f.has("query") && !f.has("pos") {
		return f.textRow()
	}
	r := Row{Query: f.text("query"), Pos: f.texts("pos"), Neg: f.texts("neg"), Type: f.text("type")}
	r.PosScores = f.scores("pos_scores", len(r.Pos))
	r.NegScores = f.scores("neg_scores", len(r.Neg))
	if f.has("prompt") {
		prompt := f.text("prompt")
		r.Prompt = &prompt
	}
	if f.err != nil {
		return Row{}, f.err
	}
	return r, f.checkRequired(&r)
}

// textRow is the row of an object with the text of a corpus, in the BEIR layout with its title before it.
func (f *object) textRow() (Row, error) {
	text := f.text("text")
	if title := f.text("title"); title != "" {
		text = title + " " + text
	}
	return rowOfText(text), f.err
}

// parseText reads a line that is a text.
func parseText(line []byte) (Row, error) {
	if !utf8.Valid(line) {
		return Row{}, errors.New("line is not UTF-8")
	}
	return rowOfText(string(line)), nil
}

func rowOfText(text string) Row { return Row{Query: text, Pos: []string{text}, Text: true} }

// object is a JSON object whose fields are read one by one. Names are exact, and a field that is null is none. err is
// the first error of a field that was read.
type object struct {
	fields map[string]json.RawMessage
	err    error
}

func parseObject(text []byte) (*object, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("line is not UTF-8")
	}
	if kind := kindOf(text); kind != "" && kind != "an object" {
		return nil, fmt.Errorf("want a JSON object, have %s", kind)
	}
	f := new(object)
	if err := json.Unmarshal(text, &f.fields); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && notFinite(text, syntax.Offset) {
			return nil, errors.New("not JSON: numbers must be finite, and NaN and Infinity are not JSON")
		}
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	for name, value := range f.fields {
		if bytes.Equal(value, []byte("null")) {
			delete(f.fields, name)
		}
	}
	return f, nil
}

// notFinite says whether the text at which JSON ceases to make sense is a number as Python writes those that are none.
func notFinite(text []byte, offset int64) bool {
	at := text[min(max(offset-1, 0), int64(len(text))):]
	return bytes.HasPrefix(at, []byte("NaN")) || bytes.HasPrefix(at, []byte("Infinity"))
}

func (f *object) has(name string) bool {
	_, ok := f.fields[name]
	return ok
}

// fail keeps the first error.
func (f *object) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

// text is a field that holds a text; "" where there is none.
func (f *object) text(name string) string {
	var text string
	if raw, ok := f.fields[name]; ok && json.Unmarshal(raw, &text) != nil {
		f.fail("%s: want a text, have %s", name, kindOf(raw))
	}
	return text
}

// texts is a field that holds a list of texts; nil where there is none.
func (f *object) texts(name string) []string {
	texts, err := list[string](f.fields[name], "a text")
	if err != nil {
		f.fail("%s%w", name, err)
	}
	return texts
}

// scores is a field that holds one finite number for each of n passages; nil where there is none.
func (f *object) scores(name string, n int) []float64 {
	scores, err := list[float64](f.fields[name], "a number")
	if err != nil {
		f.fail("%s%w", name, err)
		return nil
	}
	if scores != nil && len(scores) != n {
		f.fail("%s has %d numbers for %d passages", name, len(scores), n)
	}
	for i, score := range scores {
		if math.Abs(score) > math.MaxFloat32 {
			f.fail("%s[%d]: %g is out of range", name, i, score)
		}
	}
	return scores
}

// checkRequired checks that there is a query and a positive.
func (f *object) checkRequired(r *Row) error {
	for _, name := range []string{"query", "pos"} {
		if !f.has(name) {
			return fmt.Errorf("%s is missing", name)
		}
	}
	if len(r.Pos) == 0 {
		return errors.New("pos is empty: a row needs a passage that answers its query")
	}
	return nil
}

// blank says which text of a row that should say something says nothing; "" where all do. Real data has such rows, and
// other trainers take them.
func (r *Row) blank() string {
	if strings.TrimSpace(r.Query) == "" {
		if r.Text {
			return "text is blank"
		}
		return "query is blank"
	}
	for i, text := range r.Pos {
		if strings.TrimSpace(text) == "" {
			return fmt.Sprintf("pos[%d] is blank", i)
		}
	}
	return ""
}

// list is a JSON list whose elements are all of one kind; nil without raw.
func list[T string | float64](raw json.RawMessage, kind string) ([]T, error) {
	if raw == nil {
		return nil, nil
	}
	var values []*T // pointers, because null would leave a plain element as it is
	err := json.Unmarshal(raw, &values)
	out := make([]T, len(values))
	for i, v := range values {
		if v == nil {
			return nil, listError(raw, kind)
		}
		out[i] = *v
	}
	if err != nil {
		return nil, listError(raw, kind)
	}
	return out, nil
}

// listError says what is wrong with a list that could not be read.
func listError(raw json.RawMessage, kind string) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return fmt.Errorf(": want a list, have %s", kindOf(raw))
	}
	for i, element := range elements {
		if have := kindOf(element); have != kind {
			return fmt.Errorf("[%d]: want %s, have %s", i, kind, have)
		}
	}
	return errors.New(" holds a number that is out of range")
}

// kindOf names what a JSON value is by its first byte; "" where no value begins so.
func kindOf(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return ""
	}
	switch c := raw[0]; {
	case c == '{':
		return "an object"
	case c == '[':
		return "a list"
	case c == '"':
		return "a text"
	case c == '-' || c >= '0' && c <= '9':
		return "a number"
	case bytes.Equal(raw, []byte("true")) || bytes.Equal(raw, []byte("false")):
		return "a truth value"
	case bytes.Equal(raw, []byte("null")):
		return "null"
	}
	return ""
}
