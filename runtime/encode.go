package runtime

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"graft/runtime/tokenizer"
)

// windowTexts is how many texts are tokenized and sorted together. While one window runs, the
// next is tokenized. The first is small, so that the graph starts early.
const (
	firstWindow = 256
	windowTexts = 4096
)

// EncodeOptions belong to one call.
type EncodeOptions struct {
	Prompt    string // put before each text
	Suffix    string // put behind each text; it stays where the text is cut
	Separator string // texts are pairs, joined by it; "": they are not
	MaxLength int    // tokens, special tokens included; 0: the model's
	Progress  func(done, total int)
}

// Vectors are the rows of a matrix: Data is [Rows, Dim] in row-major order.
type Vectors struct {
	Rows, Dim int
	Data      []float32
}

// Row is the vector of text i; it shares memory with v.
func (v *Vectors) Row(i int) []float32 { return v.Data[i*v.Dim : (i+1)*v.Dim] }

// Encode returns a vector for each text, in order. Equal texts are run once.
func (e *Encoder) Encode(ctx context.Context, texts []string, o EncodeOptions) (*Vectors, error) {
	if err := e.leavesRoom(o); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	distinct, index := deduplicate(texts)
	unique := &Vectors{Rows: len(distinct), Dim: e.Dim, Data: make([]float32, len(distinct)*e.Dim)}
	if err := e.encode(ctx, distinct, o, unique); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if len(distinct) == len(texts) {
		return unique, nil
	}
	all := &Vectors{Rows: len(texts), Dim: e.Dim, Data: make([]float32, len(texts)*e.Dim)}
	for i, j := range index {
		copy(all.Row(i), unique.Row(j))
	}
	return all, nil
}

// Limit is the number of tokens that texts are cut to: what is asked for, as far as the graph takes
// so many; 0 asks for the model's own length.
func (e *Encoder) Limit(asked int) int {
	if asked == 0 {
		return e.model.MaxLength
	}
	if most := cmp.Or(e.model.Positions, e.model.MaxLength); most > 0 {
		return min(asked, most)
	}
	return asked
}

// Tokens is how many tokens a text has by itself, without special ones.
func (e *Encoder) Tokens(text string) int {
	row, err := e.model.Tokenizer.Encode(text, tokenizer.EncodeOptions{NoSpecial: true})
	if err != nil {
		return 0
	}
	return len(row.IDs)
}

// leavesRoom refuses a prompt and a suffix that are as long as the longest text may be.
func (e *Encoder) leavesRoom(o EncodeOptions) error {
	limit := e.Limit(o.MaxLength)
	if limit == 0 || o.Prompt == "" {
		return nil // the tokenizer refuses a suffix alone
	}
	row, err := e.model.Tokenizer.Encode(o.Prompt+o.Suffix, tokenizer.EncodeOptions{})
	if err == nil && len(row.IDs) >= limit {
		err = fmt.Errorf("what stands around each text has %d tokens and leaves no room for it: the longest text has %d", len(row.IDs), limit)
	}
	return err
}

// tokens puts the prompt and the suffix around each text and cuts it to the limit.
func (e *Encoder) tokens(ctx context.Context, texts []string, o EncodeOptions) ([]tokenizer.Encoding, error) {
	full := make([]string, len(texts))
	for i, t := range texts {
		full[i] = o.Prompt + t
		if e.model.LowerCase {
			full[i] = strings.ToLower(full[i])
		}
	}
	limit := e.Limit(o.MaxLength)
	if limit < o.MaxLength {
		e.shorter.Do(func() {
			e.options.Log("texts are cut to %d tokens, the most that the model takes, not to %d", limit, o.MaxLength)
		})
	}
	options := tokenizer.EncodeOptions{MaxLength: limit, Suffix: o.Suffix}
	if o.Separator == "" {
		return e.model.Tokenizer.EncodeBatch(ctx, full, options)
	}
	pairs := make([][2]string, len(full))
	for i, t := range full {
		pairs[i][0], pairs[i][1], _ = strings.Cut(t, o.Separator)
	}
	return e.model.Tokenizer.EncodePairs(ctx, pairs, options)
}

// deduplicate returns the distinct texts in order of appearance and, for each text, its place among them.
func deduplicate(texts []string) (distinct []string, index []int) {
	place := make(map[string]int, len(texts))
	index = make([]int, len(texts))
	for i, t := range texts {
		j, ok := place[t]
		if !ok {
			j = len(distinct)
			place[t] = j
			distinct = append(distinct, t)
		}
		index[i] = j
	}
	return distinct, index
}

// window is a run of texts that have been tokenized.
type window struct {
	first int // index of its first text
	rows  []tokenizer.Encoding
}

// encode fills out with the vectors of texts: one goroutine tokenizes windows, the graph runs
// the batches of the window before.
func (e *Encoder) encode(ctx context.Context, texts []string, o EncodeOptions, out *Vectors) error {
	group, ctx := errgroup.WithContext(ctx)
	windows := make(chan window, 1)
	group.Go(func() error {
		defer close(windows)
		for first := 0; first < len(texts); {
			n := windowTexts
			if first == 0 {
				n = firstWindow
			}
			n = min(n, len(texts)-first)
			rows, err := e.tokenize(ctx, texts[first:first+n], o)
			if err != nil {
				return err
			}
			select {
			case windows <- window{first, rows}:
			case <-ctx.Done():
				return ctx.Err()
			}
			first += n
		}
		return nil
	})
	group.Go(func() error {
		done := 0
		for w := range windows {
			if err := e.runWindow(ctx, w, out, func(n int) {
				done += n
				if o.Progress != nil {
					o.Progress(done, len(texts))
				}
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// runWindow runs the batches of w, as many at once as there are slots, and puts each vector in its
// text's row.
func (e *Encoder) runWindow(ctx context.Context, w window, out *Vectors, progress func(n int)) error {
	lengths := make([]int, len(w.rows))
	for i, r := range w.rows {
		lengths[i] = len(r.IDs)
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(cap(e.slots))
	var mu sync.Mutex
	for _, b := range plan(lengths, e.options.BatchSize, e.options.BatchTokens, padMultiple) {
		if running.Err() != nil {
			break
		}
		group.Go(func() error {
			rows := make([]tokenizer.Encoding, len(b.texts))
			for i, t := range b.texts {
				rows[i] = w.rows[t]
			}
			err := e.run(running, rows, b.length, tokenizer.Right, func(vectors []float32) {
				for i, t := range b.texts {
					copy(out.Row(w.first+t), vectors[i*e.Dim:(i+1)*e.Dim])
				}
			})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			progress(len(b.texts))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err() // the batches that were left out
}
