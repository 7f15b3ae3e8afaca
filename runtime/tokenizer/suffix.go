package tokenizer

import (
	"fmt"
	"slices"
)

// withSuffix returns the ids of text and suffix, tokenized as one string. Where they are more than room (not negative), the text is cut
// and the ids of the suffix follow what is left of it.
func (t *Tokenizer) withSuffix(text, suffix string, room int) ([]uint32, error) {
	if room < 0 {
		return t.allTokens(text + suffix)
	}
	head, err := t.tokens(text, room)
	if err != nil {
		return nil, err
	}
	if len(head) <= room {
		whole, err := t.allTokens(text + suffix)
		if err != nil || len(whole) <= room {
			return whole, err
		}
	}
	tail, err := t.tail(suffix)
	if err != nil {
		return nil, err
	}
	if len(tail) >= room {
		return nil, fmt.Errorf("the suffix %q has %d tokens and leaves none of %d to the text", suffix, len(tail), room)
	}
	return slices.Concat(keep(head, min(len(head), room-len(tail)), t.config.TruncationSide), tail), nil
}

// tail is what a suffix adds to the ids of the text before it: a word, since many tokenizers put a mark before the first word alone.
func (t *Tokenizer) tail(suffix string) ([]uint32, error) {
	const word = "a"
	before, err := t.allTokens(word)
	if err != nil {
		return nil, err
	}
	both, err := t.allTokens(word + suffix)
	if err != nil {
		return nil, err
	}
	if len(both) >= len(before) && slices.Equal(both[:len(before)], before) {
		return both[len(before):], nil
	}
	return t.allTokens(suffix)
}
