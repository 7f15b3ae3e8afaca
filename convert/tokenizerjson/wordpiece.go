package tokenizerjson

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// wordPiece reads vocab.txt: a token a line, whose number from 0 is its id.
func (m *maker) wordPiece() error {
	raw, err := m.read(vocabText)
	if err != nil {
		return err
	}
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	m.vocab = map[string]int{}
	text := strings.TrimSuffix(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n")
	for i, token := range strings.Split(text, "\n") {
		m.vocab[token] = i
	}
	m.size = len(m.vocab)
	unk := m.class.special["unk"]
	if t, _, err := m.settings.token("unk"); err != nil {
		return err
	} else if t.Content != "" {
		unk = t.Content
	}
	if _, ok := m.vocab[unk]; !ok {
		return fmt.Errorf("special token %q is not in it", unk)
	}
	normalizer := object{"type": "BertNormalizer", "clean_text": true, "strip_accents": nil}
	for key, setting := range map[string]string{"handle_chinese_chars": "tokenize_chinese_chars", "lowercase": "do_lower_case"} {
		if normalizer[key], err = m.settings.flag(setting, true); err != nil {
			return err
		}
	}
	if m.settings.has("strip_accents") {
		if normalizer["strip_accents"], err = m.settings.flag("strip_accents", false); err != nil {
			return err
		}
	}
	m.file["normalizer"] = normalizer
	m.file["pre_tokenizer"] = object{"type": "BertPreTokenizer"}
	m.file["decoder"] = object{"type": "WordPiece", "prefix": "##", "cleanup": true}
	m.file["model"] = object{"type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": m.vocab}
	return nil
}
