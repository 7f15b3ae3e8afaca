//go:build !lite

package train

import (
	"context"
	"fmt"
	"strings"

	"graft/runtime/tokenizer"
	"graft/train/dataset"
)

// tokenizes is dataset's Tokenize for texts with a suffix behind them.
func (m *Model) tokenizes(suffix string) dataset.Tokenize {
	return func(ctx context.Context, texts []string, maxLength int) ([][]int32, error) {
		return m.tokenize(ctx, texts, suffix, maxLength)
	}
}

// tokenize gives the ids of texts, each with the suffix behind it and cut, before that, to maxLength tokens.
func (m *Model) tokenize(ctx context.Context, texts []string, suffix string, maxLength int) ([][]int32, error) {
	if m.LowerCase {
		lowered := make([]string, len(texts))
		for i, t := range texts {
			lowered[i] = strings.ToLower(t)
		}
		texts = lowered
	}
	encoded, err := m.Tokenizer.EncodeBatch(ctx, texts, tokenizer.EncodeOptions{MaxLength: maxLength, Suffix: suffix})
	if err != nil {
		return nil, err
	}
	ids := make([][]int32, len(encoded))
	for i := range encoded {
		ids[i] = encoded[i].IDs
	}
	return ids, nil
}

// tokenizerKey changes with whatever changes what tokenize returns.
func (m *Model) tokenizerKey(suffixes ...string) string {
	key := m.TokenizerHash
	if m.LowerCase {
		key += " lowered"
	}
	if strings.Join(suffixes, "") != "" {
		key += fmt.Sprintf(" %q", suffixes)
	}
	return key
}
