package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"graft/lines"
)

// WriteTREC writes a run in TREC's format, "query Q0 document rank score tag", separated
// by tabs because ids may hold blanks. Hits stand in ranking order; scores are float32
// in their shortest decimal form, so that reading gives the same ranking.
func WriteTREC(w io.Writer, run iter.Seq[Ranking], tag string) error {
	for r := range run {
		hits := slices.SortedFunc(slices.Values(r.Hits), compareHits)
		for i, h := range hits {
			score := strconv.FormatFloat(float64(float32(h.Score)), 'g', -1, 32)
			if _, err := fmt.Fprintf(w, "%s\tQ0\t%s\t%d\t%s\t%s\n", r.Query, h.Document, i+1, score, tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadTREC reads a run in TREC's format (.gz too), separated by tabs or, where a line has
// none, by blanks. The rank is ignored, as trec_eval ignores it. A document that
// stands twice for a query is an error.
func ReadTREC(path string) ([]Ranking, error) {
	b := newRunBuilder()
	for l, err := range lines.Read(path, nil) {
		if err != nil {
			return nil, fmt.Errorf("read run: %w", err)
		}
		text := string(l.Text)
		if strings.TrimSpace(text) == "" || text[0] == '#' {
			continue
		}
		fields := strings.Split(text, "\t")
		if len(fields) == 1 {
			fields = strings.Fields(text)
		}
		if err := b.addFields(fields); err != nil {
			return nil, fmt.Errorf("read run: %w", lines.At(path, l.Number, err))
		}
	}
	return b.run, nil
}

// runBuilder collects hits into rankings, queries in the order of their first hit.
type runBuilder struct {
	run  []Ranking
	at   map[string]int
	seen map[[2]string]bool
}

func newRunBuilder() *runBuilder {
	return &runBuilder{nil, map[string]int{}, map[[2]string]bool{}}
}

func (b *runBuilder) addFields(fields []string) error {
	if len(fields) != 6 {
		return fmt.Errorf("%d fields, want 6: query Q0 document rank score tag", len(fields))
	}
	score, err := strconv.ParseFloat(fields[4], 64)
	if err != nil || math.IsNaN(score) {
		return fmt.Errorf("score %q is not a number", fields[4])
	}
	return b.add(fields[0], Hit{fields[2], score})
}

func (b *runBuilder) add(query string, h Hit) error {
	if b.seen[[2]string{query, h.Document}] {
		return fmt.Errorf("document %q stands twice for query %q", h.Document, query)
	}
	b.seen[[2]string{query, h.Document}] = true
	i, ok := b.at[query]
	if !ok {
		i = len(b.run)
		b.at[query] = i
		b.run = append(b.run, Ranking{Query: query})
	}
	b.run[i].Hits = append(b.run[i].Hits, h)
	return nil
}

// WritePredictions writes a run as mteb's <Task>_predictions.json.
func WritePredictions(w io.Writer, run iter.Seq[Ranking], model, revision, subset, split string) error {
	p := &errorWriter{w: w}
	p.printf(`{"mteb_model_meta": {"model_name": %s, "revision": %s}, %s: {%s: {`,
		quote(model), quote(revision), quote(subset), quote(split))
	first := true
	for r := range run {
		if !first {
			p.printf(", ")
		}
		first = false
		p.printf("%s: {", quote(r.Query))
		for i, h := range r.Hits {
			if i > 0 {
				p.printf(", ")
			}
			p.printf("%s: %s", quote(h.Document), pythonFloat(h.Score))
		}
		p.printf("}")
	}
	p.printf("}}}\n")
	return p.err
}

// ReadPredictions reads mteb's <Task>_predictions.json: the run of one subset
// ("default") and split.
func ReadPredictions(path, subset, split string) ([]Ranking, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read predictions: %w", err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	run, err := decodePredictions(d, subset, split)
	if err != nil {
		return nil, fmt.Errorf("read predictions: %q: %w", path, err)
	}
	return run, nil
}

// decodePredictions walks the file as tokens, so that the queries keep their order.
func decodePredictions(d *json.Decoder, subset, split string) ([]Ranking, error) {
	b := newRunBuilder()
	found := false
	err := eachKey(d, func(key string) error {
		if key != subset {
			return skipValue(d)
		}
		return eachKey(d, func(key string) error {
			if key != split {
				return skipValue(d)
			}
			found = true
			return eachKey(d, func(query string) error {
				return eachKey(d, func(document string) error {
					var score float64
					if err := d.Decode(&score); err != nil {
						return err
					}
					return b.add(query, Hit{document, score})
				})
			})
		})
	})
	if err == nil && !found {
		err = fmt.Errorf("no subset %q with split %q", subset, split)
	}
	return b.run, err
}

// eachKey reads a JSON object and calls f at each key, before its value.
func eachKey(d *json.Decoder, f func(key string) error) error {
	t, err := d.Token()
	if err != nil {
		return unexpectedEnd(err)
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%v where an object should start", t)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return unexpectedEnd(err)
		}
		if err := f(t.(string)); err != nil { // keys of objects are strings
			return unexpectedEnd(err)
		}
	}
	_, err = d.Token()
	return unexpectedEnd(err)
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func skipValue(d *json.Decoder) error {
	var v json.RawMessage
	return d.Decode(&v)
}
