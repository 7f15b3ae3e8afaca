package dataset

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"

	"graft/lines"
)

// Texts are given to Tokenize in batches of this many texts or bytes, whichever comes first: enough for a tokenizer
// that works in parallel.
const (
	tokenizeTexts = 4096
	tokenizeBytes = 8 << 20
)

// writeCache tokenizes the rows into a cache at path. The file appears there when it is complete.
func (s *Set) writeCache(ctx context.Context, o TokenizeOptions, key [32]byte, path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreClosed(f.Close()), os.Remove(f.Name()))
		}
	}()
	w := newCacheWriter(f, s.Sources, o)
	if err := w.begin(); err != nil {
		return err
	}
	rows := 0
	for row, err := range s.Rows(ctx) {
		if err == nil {
			err = w.add(ctx, &row)
		}
		if err != nil {
			return err
		}
		if rows++; o.Progress != nil {
			o.Progress(rows, s.rows)
		}
	}
	if err := w.finish(ctx, key); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// Kinds of text: each has its maximum length, and texts are told apart within their kind.
const (
	queryText = iota
	passageText
	textKinds
)

// cacheWriter makes a cache. Tokens go to the file as they come; the other sections, about 40 bytes a text and 4 a
// passage, are kept until the end.
type cacheWriter struct {
	file     io.WriteSeeker
	out      *bufio.Writer
	written  uint64 // bytes after the header
	checksum uint32 // of these
	count    uint64 // of tokens
	content         // but for its tokens

	sources   []Source
	kinds     [textKinds]textKind
	firstRow  map[uint32]uint32 // of each query, by its text
	hasScores bool
}

// textKind is what is known of queries, or of passages.
type textKind struct {
	tokenize     Tokenize
	prompt       string
	maxLength    int
	numbers      map[uint64]uint32 // of texts, by their hashes
	pending      []pendingText
	pendingBytes int
}

// pendingText is a text that is not tokenized yet.
type pendingText struct {
	number uint32
	text   string
	source int // where it is first
	line   int
}

func newCacheWriter(file io.WriteSeeker, sources []Source, o TokenizeOptions) *cacheWriter {
	passages := o.TokenizePassages
	if passages == nil {
		passages = o.Tokenize
	}
	return &cacheWriter{
		file: file, out: bufio.NewWriterSize(file, 1<<20), sources: sources, firstRow: map[uint32]uint32{},
		kinds: [textKinds]textKind{
			queryText:   {tokenize: o.Tokenize, prompt: o.QueryPrompt, maxLength: o.QueryMaxLength, numbers: map[uint64]uint32{}},
			passageText: {tokenize: passages, prompt: o.PassagePrompt, maxLength: o.PassageMaxLength, numbers: map[uint64]uint32{}},
		},
	}
}

// begin leaves place for the header.
func (w *cacheWriter) begin() error {
	_, err := w.file.Seek(int64(headerSize), io.SeekStart)
	return err
}

// add takes the next row.
func (w *cacheWriter) add(ctx context.Context, row *Row) error {
	number := uint32(len(w.rows))
	prompt := w.kinds[queryText].prompt
	if row.Prompt != nil {
		prompt = *row.Prompt
	}
	query := w.queryOf(row, prompt)
	record := rowRecord{
		Passages: uint64(len(w.passages)), Pos: uint32(len(row.Pos)), Neg: uint32(len(row.Neg)),
		Query: query, Source: uint32(row.Source), Line: uint32(row.Line), Next: number,
	}
	if first, ok := w.firstRow[query]; ok {
		record.Next, w.rows[first].Next = w.rows[first].Next, number
	} else {
		w.firstRow[query] = number
	}
	w.rows = append(w.rows, record)
	for _, texts := range [][]string{row.Pos, row.Neg} {
		for _, text := range texts {
			w.passages = append(w.passages, w.number(passageText, w.kinds[passageText].prompt+text, row))
		}
	}
	w.addScores(row)
	if len(w.rows) >= maxNumber || len(w.texts) >= maxNumber-len(row.Pos)-len(row.Neg) {
		return fmt.Errorf("there are more rows or texts than %d", uint32(maxNumber))
	}
	for kind := range w.kinds {
		if k := &w.kinds[kind]; len(k.pending) >= tokenizeTexts || k.pendingBytes >= tokenizeBytes {
			if err := w.flush(ctx, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// queryOf is the number of a row's query. That of a text alone is the passage that it is.
func (w *cacheWriter) queryOf(row *Row, prompt string) uint32 {
	if row.Text {
		return w.number(passageText, w.kinds[passageText].prompt+row.Query, row)
	}
	return w.number(queryText, prompt+row.Query, row)
}

func (w *cacheWriter) addScores(row *Row) {
	if row.PosScores == nil || row.NegScores == nil && len(row.Neg) > 0 {
		for range len(row.Pos) + len(row.Neg) {
			w.scores = append(w.scores, float32(math.NaN()))
		}
		return
	}
	w.hasScores = true
	for _, scores := range [][]float64{row.PosScores, row.NegScores} {
		for _, score := range scores {
			w.scores = append(w.scores, float32(score))
		}
	}
}

// number is the number of a text, which is to be tokenized if it is new.
func (w *cacheWriter) number(kind int, text string, row *Row) uint32 {
	k, hash := &w.kinds[kind], textHash(text)
	n, ok := k.numbers[hash]
	if !ok {
		n = uint32(len(w.texts))
		k.numbers[hash] = n
		w.texts = append(w.texts, textRecord{Hash: hash})
		k.pending = append(k.pending, pendingText{n, text, row.Source, row.Line})
		k.pendingBytes += len(text)
	}
	return n
}

// textHash is the first 64 bits of a text's SHA-256.
func textHash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.LittleEndian.Uint64(sum[:8])
}

// flush tokenizes what is pending and writes the tokens.
func (w *cacheWriter) flush(ctx context.Context, k *textKind) error {
	if len(k.pending) == 0 {
		return nil
	}
	texts := make([]string, len(k.pending))
	for i, p := range k.pending {
		texts[i] = p.text
	}
	ids, err := k.tokenize(ctx, texts, k.maxLength)
	if err != nil {
		return err
	}
	if len(ids) != len(texts) {
		return fmt.Errorf("the tokenizer returned %d texts for %d", len(ids), len(texts))
	}
	for i, p := range k.pending {
		n := len(ids[i])
		if n == 0 || n > k.maxLength {
			return lines.At(w.sources[p.source].Path, p.line, fmt.Errorf("a text has %d tokens: there must be 1 to %d", n, k.maxLength))
		}
		w.texts[p.number].Start, w.texts[p.number].Length = w.count, uint32(n)
		w.count += uint64(n)
		if err := w.write(sectionBytes(ids[i])); err != nil {
			return err
		}
	}
	clear(k.pending) // lets go of the texts
	k.pending, k.pendingBytes = k.pending[:0], 0
	return nil
}

// finish writes all that is left, the header last.
func (w *cacheWriter) finish(ctx context.Context, key [32]byte) error {
	for i := range w.kinds {
		if err := w.flush(ctx, &w.kinds[i]); err != nil {
			return err
		}
	}
	if !w.hasScores {
		w.scores = nil
	}
	for _, b := range [][]byte{nil, sectionBytes(w.rows), sectionBytes(w.texts), sectionBytes(w.passages), sectionBytes(w.scores)} {
		if err := w.write(b); err != nil {
			return err
		}
		if err := w.write(make([]byte, -w.written%sectionAlign)); err != nil { // the tokens first: they are written
			return err
		}
	}
	h := header{
		Magic: cacheMagic, Version: cacheVersion, Key: key, Tokens: w.count, Rows: uint64(len(w.rows)),
		Texts: uint64(len(w.texts)), Passages: uint64(len(w.passages)), Scores: uint64(len(w.scores)),
	}
	h.Checksum = h.sum(w.checksum)
	if err := w.out.Flush(); err != nil {
		return err
	}
	if _, err := w.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := w.file.Write(h.bytes())
	return err
}

func (w *cacheWriter) write(b []byte) error {
	w.written += uint64(len(b))
	w.checksum = crc32.Update(w.checksum, crcTable, b)
	_, err := w.out.Write(b)
	return err
}
