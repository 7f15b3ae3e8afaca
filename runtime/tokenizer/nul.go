package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"

	rust "github.com/daulet/tokenizers"
)

// The binding passes texts as C strings, which end at a NUL byte. A text with
// NUL therefore goes, escaped, to a second tokenizer whose normalizer first
// undoes the escape. The escape uses two of Unicode's noncharacters, which no
// vocabulary has:
//
//	U+FDD0  →  U+FDD0 U+FDD1
//	NUL     →  U+FDD0 U+FDD2
//
// Like NUL they are neither letters, digits nor space, so tokens that are
// matched before normalization are found at the same places.
const (
	escape       = "\ufdd0"
	escapeItself = "\ufdd0\ufdd1"
	escapeZero   = "\ufdd0\ufdd2"
)

var escaper = strings.NewReplacer(escape, escapeItself, "\x00", escapeZero)

func escapeNUL(text string) string { return escaper.Replace(text) }

// escapedRust returns the tokenizer for escaped texts.
func (t *Tokenizer) escapedRust() (*rust.Tokenizer, error) {
	t.escapedOnce.Do(func() {
		var data []byte
		if data, t.escapedErr = unescaping(t.json); t.escapedErr == nil {
			t.escaped, t.escapedErr = newRust(data)
		}
	})
	if t.escapedErr != nil {
		return nil, fmt.Errorf("encode a text with NUL: %w", t.escapedErr)
	}
	return t.escaped, nil
}

// unescaping puts the inverse of escapeNUL before the normalizer of a
// tokenizer.json.
func unescaping(data []byte) ([]byte, error) {
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(data, &sections); err != nil {
		return nil, err
	}
	replace := func(from, to string) any {
		return map[string]any{"type": "Replace", "pattern": map[string]string{"String": from}, "content": to}
	}
	steps := []any{replace(escapeZero, "\x00"), replace(escapeItself, escape)}
	if n := sections["normalizer"]; len(n) > 0 && string(n) != "null" {
		steps = append(steps, n)
	}
	normalizer, err := json.Marshal(map[string]any{"type": "Sequence", "normalizers": steps})
	if err != nil {
		return nil, err
	}
	sections["normalizer"] = normalizer
	return json.Marshal(sections)
}
