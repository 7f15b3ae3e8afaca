package tokenizerjson

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The classes whose SentencePiece model is a unigram model as a rule.

// xlmRoberta is XLM-RoBERTa's: fairseq's special tokens take the place of the model's first three pieces, all others move up by one.
func (m *maker) xlmRoberta() error {
	return m.fairseqModel([]piece{{text: "<s>"}, {text: "<pad>"}, {text: "</s>"}, {text: "<unk>"}}, 3)
}

// camembert is CamemBERT's, which keeps the model's own special tokens too.
func (m *maker) camembert() error {
	return m.fairseqModel([]piece{{text: "<s>NOTUSED"}, {text: "<pad>"}, {text: "</s>NOTUSED"}, {text: "<unk>"}, {text: "<unk>NOTUSED", score: -100}}, 1)
}

// fairseqModel puts first before the model's pieces from number skip on, and the mask token behind them.
func (m *maker) fairseqModel(first []piece, skip int) error {
	sp, err := m.sentencePiece()
	if err != nil {
		return err
	}
	m.normalize(sp.normalization(), strip(false), replaceMatch(" {2,}", underline))
	m.file["pre_tokenizer"], m.file["decoder"] = metaspace("always", true), metaspace("always", true)
	vocab := append(slices.Concat(first, sp.pieces[skip:]), piece{text: "<mask>"})
	return m.pieceModel(sp, vocab, sp.ids(), 3, false)
}

// mostExtraIDs bounds what a configuration asks for; T5 has 100.
const mostExtraIDs = 1 << 16

// t5 is T5's: <extra_id_0> and so on, "extra_ids" of them, follow the model's pieces, the last first.
func (m *maker) t5() error {
	sp, err := m.sentencePiece()
	if err != nil {
		return err
	}
	n, err := m.settings.number("extra_ids", 100)
	if err != nil {
		return err
	}
	if n < 0 || n > mostExtraIDs {
		return fmt.Errorf("tokenizer_config.json: extra_ids is %d", n)
	}
	listed, err := m.settings.additional(nil)
	if err != nil {
		return err
	}
	listed = slices.DeleteFunc(listed, func(t specialToken) bool { return !strings.Contains(t.Content, "<extra_id_") })
	if len(listed) > 0 && n > 0 && len(listed) != n {
		return fmt.Errorf("tokenizer_config.json: extra_ids is %d, but %s lists %d of them", n, additionalKey, len(listed))
	}
	vocab := slices.Clone(sp.pieces)
	for i := range n {
		vocab = append(vocab, piece{text: fmt.Sprintf("<extra_id_%d>", n-1-i)})
		if len(listed) == 0 {
			m.extra = append(m.extra, fmt.Sprintf("<extra_id_%d>", i))
		}
	}
	legacy, prefix, err := m.settings.spaces()
	if err != nil {
		return err
	}
	scheme := "always"
	switch {
	case !prefix:
		scheme = "never"
	case !legacy:
		scheme = "first"
	}
	m.normalize(sp.normalization(), strip(false), replaceMatch(" {2,}", underline))
	m.file["pre_tokenizer"], m.file["decoder"] = metaspace(scheme, true), metaspace(scheme, true)
	return m.pieceModel(sp, vocab, sp.ids(), int(sp.unk), false)
}

// albert is ALBERT's: quotes in one form, and without keep_accents (false) and with do_lower_case (true) plain lower-case letters. A piece
// of a number and a comma is not used where another cut is possible.
func (m *maker) albert() error {
	sp, err := m.sentencePiece()
	if err != nil {
		return err
	}
	accents, err := m.settings.flag("keep_accents", false)
	if err != nil {
		return err
	}
	lower, err := m.settings.flag("do_lower_case", true)
	if err != nil {
		return err
	}
	steps := []any{replaceText("``", `"`), replaceText("''", `"`)}
	if !accents {
		steps = append(steps, object{"type": "NFKD"}, object{"type": "StripAccents"})
	}
	if lower {
		steps = append(steps, object{"type": "Lowercase"})
	}
	m.normalize(append(steps, sp.normalization(), replaceMatch(" {2,}", " "))...)
	m.file["pre_tokenizer"], m.file["decoder"] = metaspace("always", true), metaspace("always", true)
	vocab := slices.Clone(sp.pieces)
	for i, p := range vocab {
		if number, ok := strings.CutSuffix(p.text, ","); ok {
			if last, _ := utf8.DecodeLastRuneInString(number); unicode.IsDigit(last) {
				vocab[i].score -= 100
			}
		}
	}
	return m.pieceModel(sp, vocab, sp.ids(), int(sp.unk), false)
}

// debertaV2 is that of DeBERTa's versions 2 and 3: cased unless do_lower_case says otherwise, and with split_by_punct (false) every
// punctuation mark stands alone.
func (m *maker) debertaV2() error {
	sp, err := m.sentencePiece()
	if err != nil {
		return err
	}
	lower, err := m.settings.flag("do_lower_case", false)
	if err != nil {
		return err
	}
	apart, err := m.settings.flag("split_by_punct", false)
	if err != nil {
		return err
	}
	var steps, cuts []any
	if lower {
		steps = append(steps, object{"type": "Lowercase"})
	}
	if apart {
		cuts = append(cuts, object{"type": "Punctuation", "behavior": "Isolated"})
	}
	m.normalize(append(steps, strip(true), sp.normalization(), replaceMatch(" {2,}", " "))...)
	m.file["pre_tokenizer"] = sequence("Sequence", "pretokenizers", append(cuts, metaspace("always", true))...)
	m.file["decoder"] = metaspace("always", true)
	return m.pieceModel(sp, slices.Clone(sp.pieces), sp.ids(), int(sp.unk), false)
}

// normalize sets the steps of the normalizer; nil is none.
func (m *maker) normalize(steps ...any) {
	m.file["normalizer"] = sequence("Sequence", "normalizers", slices.DeleteFunc(steps, func(step any) bool { return step == nil })...)
}

// normalization is the model's own normalization of characters; nil: there is none.
func (s *sentencePiece) normalization() any {
	if s.charsmap == nil {
		return nil
	}
	return object{"type": "Precompiled", "precompiled_charsmap": base64.StdEncoding.EncodeToString(s.charsmap)}
}

// strip takes white space from a text's end, and from its begin where left says so.
func strip(left bool) object { return object{"type": "Strip", "strip_left": left, "strip_right": true} }
