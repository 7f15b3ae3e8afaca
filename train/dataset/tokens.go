package dataset

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Tokens is training data as token ids, in a mapped file. It may be used by several goroutines at once, until Close.
type Tokens struct {
	Sources []Source
	content
	key     [32]byte
	mapping []byte
	teacher *vectors // of the texts, after Set.Teach
}

// openTokens maps a cache and checks it.
func openTokens(path string, key [32]byte, sources []Source) (*Tokens, error) {
	mapping, err := mapFile(path, headerSize)
	if err != nil {
		return nil, err
	}
	c, err := parseCache(mapping, key, len(sources))
	if err != nil {
		unix.Munmap(mapping)
		return nil, err
	}
	return &Tokens{Sources: sources, content: *c, key: key, mapping: mapping}, nil
}

// mapFile maps a file of at least so many bytes.
func mapFile(path string, least int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < int64(least) || info.Size() > math.MaxInt {
		return nil, fmt.Errorf("it has %d bytes", info.Size())
	}
	mapping, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map it: %w", err)
	}
	return mapping, nil
}

// Len is the number of rows.
func (t *Tokens) Len() int { return len(t.rows) }

// Key names the content: data, tokenizer, lengths and prompts. Equal keys mean equal tokens.
func (t *Tokens) Key() string { return hex.EncodeToString(t.key[:]) }

// Close unmaps the tokens. No Group may be used after it.
func (t *Tokens) Close() error {
	if t.mapping == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(t.mapping), t.teacher.close())
	t.mapping, t.content, t.teacher = nil, content{}, nil
	return err
}

// text is the tokens of a text.
func (c *content) text(number uint32) []int32 {
	t := c.texts[number]
	return c.tokens[t.Start : t.Start+uint64(t.Length) : t.Start+uint64(t.Length)]
}

// knownPositives are the hashes of the positives of all rows with this row's query, in order, each once.
func (c *content) knownPositives(row uint32) []uint64 {
	var hashes []uint64
	for next := row; ; {
		r := &c.rows[next]
		for _, text := range c.passages[r.Passages:][:r.Pos] {
			hashes = append(hashes, c.texts[text].Hash)
		}
		if next = r.Next; next == row {
			slices.Sort(hashes)
			return slices.Compact(hashes)
		}
	}
}
