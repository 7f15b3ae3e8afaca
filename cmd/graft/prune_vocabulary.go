package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"graft/convert"
	"graft/prune"
	"graft/runtime"
	"graft/runtime/tokenizer"
)

// tokens plans the vocabulary of the texts of --vocab, each also behind the model's prompts; nil where
// all tokens stay.
func (o *pruneOptions) tokens(ctx context.Context, m *convert.Model) (*prune.Vocabulary, error) {
	if o.vocabulary == "" {
		return nil, nil
	}
	if m.Tokenizer == "" {
		return nil, runtime.ErrNoTokenizer
	}
	raw, err := os.ReadFile(m.Tokenizer)
	if err != nil {
		return nil, fmt.Errorf("read tokenizer: %w", err)
	}
	tok, err := tokenizer.FromFile(m.Tokenizer, tokenizer.Options{})
	if err != nil {
		return nil, err
	}
	defer tok.Close()
	used, err := usedTokens(ctx, tok, o.vocabulary, m.Modules)
	if err != nil {
		return nil, err
	}
	return prune.NewVocabulary(raw, used)
}

// usedTokens are the ids that the texts of a file have.
func usedTokens(ctx context.Context, tok *tokenizer.Tokenizer, path string, modules convert.Modules) (map[int]bool, error) {
	prompts := []string{""}
	for _, p := range slices.Concat(slices.Collect(maps.Values(modules.Prompts)), slices.Collect(maps.Values(modules.Suffixes))) {
		if p != "" {
			prompts = append(prompts, p)
		}
	}
	const chunk = 1024
	used, list, found := map[int]bool{}, make([]string, 0, chunk), false
	flush := func() error {
		rows, err := tok.EncodeBatch(ctx, list, tokenizer.EncodeOptions{})
		for _, r := range rows {
			for _, id := range r.IDs {
				used[int(id)] = true
			}
		}
		list = list[:0]
		return err
	}
	for text, err := range texts(ctx, path) {
		if err != nil {
			return nil, err
		}
		found = found || strings.TrimSpace(text) != ""
		for _, p := range prompts {
			if modules.LowerCase {
				list = append(list, strings.ToLower(p+text))
			} else {
				list = append(list, p+text)
			}
		}
		if len(list) >= chunk {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("read texts: %s: no texts", path)
	}
	return used, flush()
}
