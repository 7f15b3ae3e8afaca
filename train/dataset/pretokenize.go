package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Tokenize turns texts into token ids, special tokens included, truncated to maxLength.
type Tokenize func(ctx context.Context, texts []string, maxLength int) ([][]int32, error)

// TokenizeOptions say how texts become tokens and where the tokens are kept.
type TokenizeOptions struct {
	Tokenize         Tokenize
	TokenizePassages Tokenize // nil: passages become tokens as queries do
	Key              string   // changes with everything that changes what Tokenize returns
	QueryMaxLength   int      // in tokens, special ones included
	PassageMaxLength int
	QueryPrompt      string // put before every query, but for rows with a prompt of their own
	PassagePrompt    string // put before every passage

	CacheDir string                // made where it is missing; "": the tokens are kept for this process alone
	Progress func(done, total int) // rows; nil: nobody asks
	Warn     func(message string)  // told where a cache was damaged and is made anew; nil: nobody asks
}

// Pretokenize tokenizes every text of the rows once. The tokens are in a file in o.CacheDir that is mapped into memory.
// The file's name is a hash of all that the tokens depend on (the bytes of the data files, which rows of them are used,
// and what o says), so the next run with the same data finds it, and a run with other data does not. Caches of other
// data stay until somebody deletes them.
func (s *Set) Pretokenize(ctx context.Context, o TokenizeOptions) (*Tokens, error) {
	if o.QueryMaxLength < 1 || o.PassageMaxLength < 1 {
		return nil, fmt.Errorf("tokenize: maximum lengths are %d and %d: they must be 1 or more", o.QueryMaxLength, o.PassageMaxLength)
	}
	key := s.key(o)
	if o.CacheDir == "" {
		return s.pretokenizeTemporary(ctx, o, key)
	}
	path := filepath.Join(o.CacheDir, "tokens-"+hex.EncodeToString(key[:16])+".bin")
	t, err := openTokens(path, key, s.Sources)
	if err == nil {
		return t, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && o.Warn != nil {
		o.Warn(fmt.Sprintf("the token cache %q cannot be used and is made anew: %v", path, err))
	}
	if err := os.MkdirAll(o.CacheDir, 0o777); err != nil {
		return nil, fmt.Errorf("tokenize: make the cache's folder: %w", err)
	}
	if err := s.writeCache(ctx, o, key, path); err != nil {
		return nil, fmt.Errorf("tokenize: %w", err)
	}
	if t, err = openTokens(path, key, s.Sources); err != nil {
		return nil, fmt.Errorf("tokenize: open %q, just written: %w", path, err)
	}
	return t, nil
}

// pretokenizeTemporary keeps the tokens in a file that has no name by the time it is used.
func (s *Set) pretokenizeTemporary(ctx context.Context, o TokenizeOptions, key [32]byte) (*Tokens, error) {
	dir, err := os.MkdirTemp("", "graft-tokens-")
	if err != nil {
		return nil, fmt.Errorf("tokenize: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tokens.bin")
	if err := s.writeCache(ctx, o, key, path); err != nil {
		return nil, fmt.Errorf("tokenize: %w", err)
	}
	t, err := openTokens(path, key, s.Sources)
	if err != nil {
		return nil, fmt.Errorf("tokenize: open %q, just written: %w", path, err)
	}
	return t, nil
}

// key is the SHA-256 of all that the tokens depend on. Texts in it are preceded by their length.
func (s *Set) key(o TokenizeOptions) [32]byte {
	h := sha256.New()
	number := func(n int) { binary.Write(h, binary.LittleEndian, int64(n)) }
	text := func(t string) { number(len(t)); h.Write([]byte(t)) }
	number(int(cacheVersion))
	text(o.Key)
	text(o.QueryPrompt)
	text(o.PassagePrompt)
	number(o.QueryMaxLength)
	number(o.PassageMaxLength)
	number(min(s.options.GroupSize, 2)) // a group of 1 has no negatives; how many are sampled is all the same
	if s.options.Texts {
		text("texts")
	}
	for i, source := range s.Sources {
		h.Write(source.sum[:])
		number(source.Rows)
		if source.Rows < source.Lines { // which rows are chosen
			number(int(s.options.Seed))
			number(i)
		}
	}
	return [32]byte(h.Sum(nil))
}
