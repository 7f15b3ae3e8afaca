package tokenizer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode"

	"golang.org/x/sync/errgroup"
)

// An Encoding is a text, or a pair, as the model reads it. The three slices
// have one element per token.
type Encoding struct {
	IDs     []int32
	TypeIDs []int32 // segment: which text of a pair, where the model cares
	Special []int32 // 1 at the special tokens that the template added

	// Unpooled is how many tokens, from the first on, a pooling leaves out: those of a prompt, for
	// models that pool the text alone. The tokenizer, which knows of no prompts, leaves it 0.
	Unpooled int
}

// EncodeOptions say how texts are encoded.
type EncodeOptions struct {
	// MaxLength is the largest number of tokens, special ones included; 0 is no
	// limit. The side that is cut is the tokenizer's.
	MaxLength int
	// Suffix stands after the text, and is left whole when the text is cut. Pairs have none.
	Suffix    string
	Strategy  Strategy // which text of a pair is cut
	NoSpecial bool     // leave out the template's special tokens
}

// Encode encodes one text. Bytes that are not UTF-8 count as U+FFFD, as
// Python's errors="replace" has it.
func (t *Tokenizer) Encode(text string, o EncodeOptions) (Encoding, error) {
	room, err := o.room(t.single)
	if err != nil {
		return Encoding{}, err
	}
	var ids []uint32
	if o.Suffix != "" {
		ids, err = t.withSuffix(text, o.Suffix, room)
	} else if ids, err = t.tokens(text, room); err == nil && room >= 0 && len(ids) > room {
		ids = keep(ids, room, t.config.TruncationSide)
	}
	if err != nil {
		return Encoding{}, err
	}
	return t.single.assemble(o.NoSpecial, ids, nil), nil
}

// EncodePair encodes two texts as one input.
func (t *Tokenizer) EncodePair(first, second string, o EncodeOptions) (Encoding, error) {
	room, err := o.room(t.pair)
	if err != nil {
		return Encoding{}, err
	}
	a, err := t.tokens(first, -1)
	if err != nil {
		return Encoding{}, err
	}
	b, err := t.tokens(second, -1)
	if err != nil {
		return Encoding{}, err
	}
	if room >= 0 {
		n1, n2, err := truncated(len(a), len(b), room, o.Strategy)
		if err != nil {
			return Encoding{}, err
		}
		a, b = keep(a, n1, t.config.TruncationSide), keep(b, n2, t.config.TruncationSide)
	}
	return t.pair.assemble(o.NoSpecial, a, b), nil
}

// EncodeBatch encodes texts on all processors. It returns them in order.
func (t *Tokenizer) EncodeBatch(ctx context.Context, texts []string, o EncodeOptions) ([]Encoding, error) {
	return batch(ctx, len(texts), func(i int) (Encoding, error) {
		return t.Encode(texts[i], o)
	})
}

// EncodePairs encodes pairs on all processors. It returns them in order.
func (t *Tokenizer) EncodePairs(ctx context.Context, pairs [][2]string, o EncodeOptions) ([]Encoding, error) {
	return batch(ctx, len(pairs), func(i int) (Encoding, error) {
		return t.EncodePair(pairs[i][0], pairs[i][1], o)
	})
}

// batch calls encode for 0 … n-1 from as many goroutines as there are
// processors.
func batch(ctx context.Context, n int, encode func(int) (Encoding, error)) ([]Encoding, error) {
	out := make([]Encoding, n)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), n) {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				e, err := encode(i)
				if err != nil {
					return fmt.Errorf("text %d: %w", i, err)
				}
				out[i] = e
			}
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// room is how many tokens of the texts fit beside the special ones; -1 is no
// limit.
func (o EncodeOptions) room(t template) (int, error) {
	if o.MaxLength == 0 {
		return -1, nil
	}
	room := o.MaxLength
	if !o.NoSpecial {
		room -= t.specials()
	}
	if room < 0 {
		return 0, fmt.Errorf("a maximum length of %d leaves no room for %d special tokens", o.MaxLength, t.specials())
	}
	return room, nil
}

// assemble puts the texts' tokens into the template.
func (t template) assemble(noSpecial bool, texts ...[]uint32) Encoding {
	n := 0
	for _, p := range t {
		if p.ids == nil {
			n += len(texts[p.sequence])
		} else if !noSpecial {
			n += len(p.ids)
		}
	}
	memory := make([]int32, 3*n)
	e := Encoding{IDs: memory[:0:n], TypeIDs: memory[n : 2*n : 2*n], Special: memory[2*n:]}
	for _, p := range t {
		at := len(e.IDs)
		switch {
		case p.ids == nil:
			for _, id := range texts[p.sequence] {
				e.IDs = append(e.IDs, int32(id))
			}
		case noSpecial:
			continue
		default:
			e.IDs = append(e.IDs, p.ids...)
			for i := at; i < len(e.IDs); i++ {
				e.Special[i] = 1
			}
		}
		if p.typeID != 0 {
			for i := at; i < len(e.IDs); i++ {
				e.TypeIDs[i] = p.typeID
			}
		}
	}
	return e
}

// tokens returns the ids of a text without special tokens. When need is not
// negative, only the first need of them must be there.
func (t *Tokenizer) tokens(text string, need int) ([]uint32, error) {
	if need < 0 || !t.cut || t.config.TruncationSide == Left {
		return t.allTokens(text)
	}
	for size := firstCut * (need + 1); ; size *= 4 {
		end := wordEnd(text, size)
		ids, err := t.allTokens(text[:end])
		if err != nil || len(ids) >= need || end == len(text) {
			return ids, err
		}
	}
}

// allTokens returns all ids of a text.
func (t *Tokenizer) allTokens(text string) ([]uint32, error) {
	r := t.rust
	if r == nil {
		return nil, errors.New("encode: the tokenizer is closed")
	}
	if text == "" {
		return nil, nil
	}
	input := text
	if strings.IndexByte(text, 0) >= 0 {
		var err error
		if r, err = t.escapedRust(); err != nil {
			return nil, err
		}
		input = escapeNUL(text)
	}
	ids := r.EncodeWithOptions(input, false).IDs
	if len(ids) == 0 && strings.ContainsFunc(text, unicode.IsLetter) && t.vocabulary.lacksUnknown() {
		return nil, errors.New("encode: the text has a character that is not in the vocabulary, which has no unknown token")
	}
	return ids, nil
}
