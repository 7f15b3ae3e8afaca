//go:build !lite

package train

import (
	"context"
	"strings"

	"graft/runtime/tokenizer"
)

// tokenize gives the ids of texts, cut at maxLength tokens. It is dataset's Tokenize for a model.
func (m *Model) tokenize(ctx context.Context, texts []string, maxLength int) ([][]int32, error) {
	if m.LowerCase {
		lowered := make([]string, len(texts))
		for i, t := range texts {
			lowered[i] = strings.ToLower(t)
		}
		texts = lowered
	}
	encoded, err := m.Tokenizer.EncodeBatch(ctx, texts, tokenizer.EncodeOptions{MaxLength: maxLength})
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
func (m *Model) tokenizerKey() string {
	if m.LowerCase {
		return m.TokenizerHash + " lowered"
	}
	return m.TokenizerHash
}
