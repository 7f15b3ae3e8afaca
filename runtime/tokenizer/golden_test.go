//go:build golden

package tokenizer

import "testing"

// golden says that the published tokenizers of make golden must be here.
const golden = true

// TestGoldenTokenizers runs the tests over published tokenizers with all of them.
func TestGoldenTokenizers(t *testing.T) {
	t.Run("texts", TestReal)
	t.Run("edge texts", TestEdgeTexts)
	t.Run("long words", TestLongWords)
	t.Run("cut", TestCutEqualsWhole)
}
