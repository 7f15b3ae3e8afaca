package tokenizer

import (
	"encoding/json"
	"strings"
)

// A text that is longer than the limit on its tokens is first cut between two
// words, so that not all of it is tokenized. That is exact only where the
// tokenizer itself always separates words there; cuttable decides that from a
// list of the known steps, and a step that is not known forbids it.

// firstCut is how many bytes of text are read first for each token wanted.
const firstCut = 6

// wordEnd returns the first position from at on where an ASCII letter is
// followed by one space and another ASCII letter, or the text's length.
func wordEnd(text string, at int) int {
	for i := max(at, 1); i+1 < len(text); i++ {
		if text[i] == ' ' && isLetter(text[i-1]) && isLetter(text[i+1]) {
			return i
		}
	}
	return len(text)
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// step is a normalizer or pre-tokenizer.
type step struct {
	Type          string `json:"type"`
	Normalizers   []step `json:"normalizers"`
	PreTokenizers []step `json:"pretokenizers"`
	Pattern       struct{ String, Regex string }
	UseRegex      *bool           `json:"use_regex"` // ByteLevel: true when absent
	Split         *bool           `json:"split"`     // Metaspace: true when absent
	Charsmap      json.RawMessage `json:"precompiled_charsmap"`
}

// localNormalizers change no character because of what stands beyond a space
// between letters.
var localNormalizers = map[string]bool{
	"BertNormalizer": true, "Lowercase": true, "NFC": true, "NFD": true, "NFKC": true, "NFKD": true, "Nmt": true,
	"Precompiled": true, "Prepend": true, "Strip": true, "StripAccents": true,
}

// wordRegexes are the patterns of GPT-style tokenizers that end a word before a
// space and a letter: those of Qwen and Llama 3 (and GPT-4).
var wordRegexes = map[string]bool{
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      true,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: true,
}

// metaspace stands for a space in sentencepiece vocabularies.
const metaspace = "▁"

// cuttable reports whether the tokens of a text that is cut at wordEnd are the
// first tokens of the text.
func (f *file) cuttable() bool {
	for _, a := range f.added {
		c := a.Content
		if strings.Contains(c, " ") || c != "" && (a.LStrip && isLetter(c[0]) || a.RStrip && isLetter(c[len(c)-1])) {
			return false
		}
	}
	normalizer, err := readSteps(f.sections["normalizer"])
	if err != nil {
		return false
	}
	for _, s := range normalizer {
		if !s.local() {
			return false
		}
	}
	preTokenizer, err := readSteps(f.sections["pre_tokenizer"])
	if err != nil {
		return false
	}
	splits := false
	for _, s := range preTokenizer {
		known, splitsHere := s.splits()
		if !known {
			return false
		}
		splits = splits || splitsHere
	}
	return splits || len(preTokenizer) == 0 && f.model.Type == "BPE" && f.spacesStartTokens(normalizer)
}

// readSteps reads a normalizer or pre-tokenizer as a flat list.
func readSteps(raw json.RawMessage) ([]step, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var s step
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	return s.flat(), nil
}

func (s step) flat() []step {
	if s.Type != "Sequence" {
		return []step{s}
	}
	var all []step
	for _, inner := range append(s.Normalizers, s.PreTokenizers...) {
		all = append(all, inner.flat()...)
	}
	return all
}

// local reports whether a normalizer treats both sides of a cut alone.
func (s step) local() bool {
	if s.Type == "Replace" {
		p := s.Pattern
		return p.Regex == " {2,}" || p.String == " " || p.String != "" && !strings.Contains(p.String, " ")
	}
	return localNormalizers[s.Type]
}

// splits reports whether a pre-tokenizer is known, and whether it separates at
// a cut.
func (s step) splits() (known, splits bool) {
	switch s.Type {
	case "BertPreTokenizer", "Whitespace", "WhitespaceSplit":
		return true, true
	case "Digits", "Punctuation":
		return true, false
	case "Metaspace":
		return true, s.Split == nil || *s.Split
	case "ByteLevel":
		return true, s.UseRegex == nil || *s.UseRegex
	case "Split":
		return wordRegexes[s.Pattern.Regex], true
	}
	return false, false
}

// spacesStartTokens reports whether no token goes on after a space: then BPE,
// though it sees the whole text at once, joins nothing across one.
func (f *file) spacesStartTokens(normalizer []step) bool {
	replaced := false
	for _, s := range normalizer {
		replaced = replaced || s.Type == "Replace" && s.Pattern.String == " "
	}
	if !replaced {
		return false
	}
	for token := range f.vocabulary.tokens {
		if strings.Contains(strings.TrimLeft(token, metaspace), metaspace) {
			return false
		}
	}
	return true
}
