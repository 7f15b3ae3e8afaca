//go:build !lite

package train

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"graft/runtime/tokenizer"
)

// Texts are lowered where the model's settings say so, and then no cache of tokens that were not is used.
func TestLowerCase(t *testing.T) {
	tok, err := tokenizer.Open(filepath.Join("..", "testdata", "models", "qwen3"), tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	for _, lower := range []bool{false, true} {
		m := Model{Tokenizer: tok, TokenizerHash: "hash", LowerCase: lower}
		ids, err := m.tokenize(context.Background(), []string{"The MOON", "the moon"}, "", 16)
		if err != nil {
			t.Fatal(err)
		}
		if same := slices.Equal(ids[0], ids[1]); same != lower {
			t.Errorf("lowered %v: %v and %v", lower, ids[0], ids[1])
		}
		if (m.tokenizerKey() == "hash") == lower {
			t.Errorf("lowered %v: key %q", lower, m.tokenizerKey())
		}
	}
}
