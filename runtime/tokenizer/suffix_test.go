package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

// A suffix is tokenized with the text before it; where the text is cut, all of the suffix and the end token stay.
func TestSuffix(t *testing.T) {
	on := true
	for _, model := range []string{"bert", "llama", "qwen3", "xlm-roberta"} {
		o := Options{}
		if model == "llama" {
			o.AddBOSToken, o.AddEOSToken = &on, &on
		}
		tok := openTiny(t, model, o)
		const suffix = ` ", sum it up: </s>`
		for _, text := range []string{"the cat sat", "x", strings.Repeat("a longer text about cats ", 20)} {
			whole, err := tok.Encode(text+suffix, EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, limit := range []int{0, len(whole.IDs), len(whole.IDs) - 1, 24, 40} {
				got, err := tok.Encode(text, EncodeOptions{Suffix: suffix, MaxLength: limit})
				if err != nil {
					if limit == len(whole.IDs)-1 && text == "x" { // nothing is left of the text
						continue
					}
					t.Fatalf("%s, %d tokens: %v", model, limit, err)
				}
				if limit == 0 || len(whole.IDs) <= limit {
					if !slices.Equal(got.IDs, whole.IDs) {
						t.Errorf("%s, %d tokens: %v, want %v", model, limit, got.IDs, whole.IDs)
					}
					continue
				}
				tail, err := tok.tail(suffix)
				if err != nil {
					t.Fatal(err)
				}
				behind := len(tail) + len(tok.single) - 1 - slices.IndexFunc(tok.single, func(p piece) bool { return p.ids == nil })
				last := limit - behind
				if model == "llama" {
					behind, last = behind-1, last-1 // its pieces reach over the border of words
				}
				if len(got.IDs) != limit || !slices.Equal(got.IDs[limit-behind:], whole.IDs[len(whole.IDs)-behind:]) || !slices.Equal(got.IDs[:last], whole.IDs[:last]) {
					t.Errorf("%s, %d tokens: %v of %v", model, limit, got.IDs, whole.IDs)
				}
			}
		}
		if _, err := tok.Encode("the cat", EncodeOptions{Suffix: suffix, MaxLength: 6}); err == nil || !strings.Contains(err.Error(), "leaves none of") {
			t.Errorf("%s: a suffix longer than the limit: %v", model, err)
		}
	}
}
