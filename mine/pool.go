package mine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"graft/evaluate"
	"graft/lines"
	"graft/train/dataset"
)

// pool holds distinct passages in a temporary file, so that a passage costs some fifty bytes of memory, not its text. The
// first ones are the candidates; behind them stand positives that are none and are only scored.
type pool struct {
	file       *os.File
	out        *bufio.Writer
	ends       []int64 // of passage i in the file
	at         map[digest]position
	candidates int
}

// position is the place of a passage in the pool.
type position = uint32

// digest stands for a text: 128 bits of its SHA-256.
type digest [16]byte

func digestOf(text string) digest {
	sum := sha256.Sum256([]byte(text))
	return digest(sum[:16])
}

// newPool makes an empty pool in the folder of the output. Its file has no name from the start, so none is left behind.
func newPool(output string) (*pool, error) {
	f, err := os.CreateTemp(filepath.Dir(output), ".graft-mine-*")
	if err != nil {
		return nil, fmt.Errorf("write passages: %w", lines.In(filepath.Dir(output), err))
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("write passages: %w", err)
	}
	return &pool{file: f, out: bufio.NewWriterSize(f, 1<<18), at: map[digest]position{}}, nil
}

func (p *pool) close() { p.file.Close() }

func (p *pool) len() int { return len(p.ends) }

// add returns the position of a passage and keeps it if it is new.
func (p *pool) add(text string) (position, error) {
	d := digestOf(text)
	if at, ok := p.at[d]; ok {
		return at, nil
	}
	at := position(len(p.ends))
	if uint64(at)+1 > uint64(^position(0)) {
		return 0, errors.New("more passages than 32 bits count")
	}
	if _, err := p.out.WriteString(text); err != nil {
		return 0, fmt.Errorf("write passages: %w", err)
	}
	p.ends = append(p.ends, p.start(at)+int64(len(text)))
	p.at[d] = at
	return at, nil
}

func (p *pool) start(at position) int64 {
	if at == 0 {
		return 0
	}
	return p.ends[at-1]
}

// gather fills the pool with the candidates: the passages of the corpus, else those of the rows. Blank ones are none.
func (o *Options) gather(ctx context.Context, rows *dataset.Set, p *pool) error {
	texts := rowPassages(ctx, rows)
	if o.Corpus != "" {
		file := o.Corpus
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			file = filepath.Join(file, "corpus.jsonl")
			if _, err := os.Stat(file); err != nil {
				file += ".gz"
			}
		}
		texts = evaluate.ReadTexts(file)
	}
	for text, err := range texts {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read candidates: %w", err)
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		if _, err := p.add(text); err != nil {
			return err
		}
	}
	if p.candidates = p.len(); p.candidates == 0 {
		return errors.New("read candidates: there are none")
	}
	return nil
}

// rowPassages yields the positives and negatives of all rows.
func rowPassages(ctx context.Context, rows *dataset.Set) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for row, err := range rows.Rows(ctx) {
			if err != nil {
				yield("", err)
				return
			}
			for _, passages := range [][]string{row.Pos, row.Neg} {
				for _, text := range passages {
					if !yield(text, nil) {
						return
					}
				}
			}
		}
	}
}

// documents streams the pool, or of it the passages at these positions, in ascending order. The id is the position.
func (p *pool) documents(only []position) iter.Seq2[evaluate.Document, error] {
	return func(yield func(evaluate.Document, error) bool) {
		n := p.len()
		if only != nil {
			n = len(only)
		}
		for i := range n {
			at := position(i)
			if only != nil {
				at = only[i]
			}
			text, err := p.text(at)
			if !yield(evaluate.Document{ID: strconv.Itoa(int(at)), Text: text}, err) || err != nil {
				return
			}
		}
	}
}

// text reads a passage.
func (p *pool) text(at position) (string, error) {
	if err := p.out.Flush(); err != nil {
		return "", fmt.Errorf("write passages: %w", err)
	}
	start := p.start(at)
	b := make([]byte, p.ends[at]-start)
	if _, err := p.file.ReadAt(b, start); err != nil && err != io.EOF {
		return "", fmt.Errorf("read passages: %w", err)
	}
	return string(b), nil
}
