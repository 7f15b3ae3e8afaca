package tokenizerjson

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// sentencePiece is the model of the class's vocabulary, with at least three pieces.
func (m *maker) sentencePiece() (*sentencePiece, error) {
	if m.pieces == nil {
		raw, err := m.read(m.class.vocabulary)
		if err != nil {
			return nil, err
		}
		if m.pieces, err = readSentencePiece(raw); err != nil {
			return nil, err
		}
	}
	if n := len(m.pieces.pieces); n < 3 {
		return nil, fmt.Errorf("it has %d pieces", n)
	}
	return m.pieces, nil
}

// Pieces is the vocabulary of a SentencePiece BPE model that stands in another file than SentencePiece's own, in the order of ids.
type Pieces struct {
	Texts   []string
	Scores  []float32 // the higher the sooner it is joined
	Types   []int64   // SentencePiece.Type: 3 is a control token, 4 one that a user has defined, all others are found by joining; nil: none is
	Unknown string    // the unknown token; "": the vocabulary has none
}

// FromPieces makes the tokenizer that LlamaTokenizer makes of such a vocabulary. config holds what tokenizer_config.json would say.
func FromPieces(p Pieces, config map[string]any) (*Tokenizer, error) {
	if len(p.Scores) != len(p.Texts) || p.Types != nil && len(p.Types) != len(p.Texts) {
		return nil, fmt.Errorf("%d tokens, %d scores and %d token types", len(p.Texts), len(p.Scores), len(p.Types))
	}
	m := &maker{class: classes["LlamaTokenizer"], settings: &settings{values: map[string]json.RawMessage{}},
		pieces: &sentencePiece{kind: bpeModel, unkPiece: p.Unknown}}
	for key, value := range config {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		m.settings.values[key] = raw
	}
	for i, text := range p.Texts {
		q := piece{text: text, score: float64(p.Scores[i])}
		if p.Types != nil && p.Types[i] > 0 {
			q.kind = uint64(p.Types[i])
		}
		m.pieces.pieces = append(m.pieces.pieces, q)
	}
	if err := m.pieces.check(); err != nil {
		return nil, err
	}
	t, err := m.make()
	if err != nil {
		return nil, err
	}
	t.Class = "LlamaTokenizer"
	return t, nil
}

// llama is Llama's tokenizer. With "legacy", which is the default, each stretch of text between special tokens begins with a space;
// without it, only the first.
func (m *maker) llama() error {
	sp, err := m.sentencePiece()
	if err != nil {
		return err
	}
	vocab := slices.Clone(sp.pieces)
	for id := range 3 {
		vocab[id].score = 0
		for _, t := range m.settings.numbered {
			if t.ID == id && t.Content != "" {
				vocab[id].text = t.Content
			}
		}
	}
	legacy, prefix, err := m.settings.spaces()
	if err != nil {
		return err
	}
	decoders := []any{replaceText(underline, " "), object{"type": "ByteFallback"}, object{"type": "Fuse"}}
	if prefix {
		decoders = append(decoders, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	m.file["decoder"] = sequence("Sequence", "decoders", decoders...)
	switch spaces := replaceText(" ", underline); {
	case !legacy && prefix:
		m.file["pre_tokenizer"] = metaspace("first", false)
	case !legacy:
		m.file["pre_tokenizer"] = metaspace("never", false)
	case prefix:
		m.file["normalizer"] = sequence("Sequence", "normalizers", object{"type": "Prepend", "prepend": underline}, spaces)
	default:
		m.file["normalizer"] = sequence("Sequence", "normalizers", spaces)
	}
	return m.pieceModel(sp, vocab, sp.ids(), 0, true)
}

// turns are control tokens of Gemma that its model calls user-defined.
var turns = []string{"<start_of_turn>", "<end_of_turn>"}

// gemma is Gemma's: no space before a text. The first versions of its model lack the tab, which takes the place of its byte.
func (m *maker) gemma() error {
	sp, err := m.sentencePiece()
	if err != nil {
		return err
	}
	vocab := slices.Clone(sp.pieces)
	for id, role := range []string{"pad", "eos", "bos"} {
		name := m.class.special[role]
		if t, _, err := m.settings.token(role); err != nil {
			return err
		} else if t.Content != "" {
			name = t.Content
		}
		vocab[id] = piece{text: name, kind: vocab[id].kind}
	}
	ids := sp.ids()
	tab := slices.IndexFunc(vocab, func(p piece) bool { return p.text == "<0x09>" })
	if _, ok := ids["\t"]; !ok && tab >= 0 {
		ids["\t"] = tab
		vocab[tab] = piece{text: "\t", kind: vocab[tab].kind}
	}
	m.file["normalizer"] = replaceText(" ", underline)
	m.file["pre_tokenizer"] = object{"type": "Split", "pattern": object{"String": " "}, "behavior": "MergedWithPrevious", "invert": false}
	m.file["decoder"] = sequence("Sequence", "decoders", replaceText(underline, " "), object{"type": "ByteFallback"}, object{"type": "Fuse"})
	m.turns = turns
	return m.pieceModel(sp, vocab, ids, 3, true)
}

// unknown is the unknown token; nil: there is none.
func (s *sentencePiece) unknown() any {
	if s.unkPiece == "" {
		return nil
	}
	return s.unkPiece
}

// ids are the pieces' ids; of equal ones the last's.
func (s *sentencePiece) ids() map[string]int {
	ids := map[string]int{}
	for i, p := range s.pieces {
		ids[p.text] = i
	}
	return ids
}

// pieceModel writes the model of a vocabulary and adds the model's own control and user-defined pieces. parts are the pieces that
// merges join.
func (m *maker) pieceModel(sp *sentencePiece, vocab []piece, parts map[string]int, unk int, byteFallback bool) error {
	m.vocab = map[string]int{}
	for i, p := range vocab {
		m.vocab[p.text] = i
	}
	switch sp.kind {
	case unigramModel:
		list := make([]any, len(vocab))
		for i, p := range vocab {
			list[i] = []any{p.text, p.score}
		}
		m.size = len(vocab)
		m.file["model"] = object{"type": "Unigram", "unk_id": unk, "vocab": list, "byte_fallback": byteFallback}
	case bpeModel:
		m.size = len(m.vocab)
		m.file["model"] = object{"type": "BPE", "dropout": nil, "unk_token": sp.unknown(), "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": true, "byte_fallback": byteFallback, "ignore_merges": false, "vocab": m.vocab, "merges": merges(vocab, parts, m.vocab)}
	default:
		return fmt.Errorf("it is a model of the kind %q (%d), which is not read: unigram and bpe are", modelKinds[sp.kind], sp.kind)
	}
	for _, p := range sp.pieces {
		if p.kind == controlPiece || p.kind == userPiece {
			m.add(addedToken{Content: p.text, Special: p.kind == controlPiece || slices.Contains(m.turns, p.text)})
		}
	}
	return nil
}

// merges are the joins that make the pieces of a BPE model, of which SentencePiece stores the results with their scores alone: every cut of
// a piece into two pieces. The higher the result's score the earlier; of the same score, the longer the left part (in characters), then the
// right part, then in the order of the vocabulary and of the parts' ids (generate_merges in convert_slow_tokenizer.py).
func merges(vocab []piece, parts, ids map[string]int) [][2]string {
	type merge struct {
		left, right             string
		score                   float64
		leftRunes, rightRunes   int
		leftNumber, rightNumber int
	}
	scores := map[string]float64{}
	for _, p := range vocab {
		scores[p.text] = p.score
	}
	var list []merge
	seen := map[string]bool{}
	for _, p := range vocab {
		if seen[p.text] {
			continue
		}
		seen[p.text] = true
		runes, first := utf8.RuneCountInString(p.text), len(list)
		at := 0
		for cut := range p.text {
			if cut == 0 {
				continue
			}
			at++
			left, right := p.text[:cut], p.text[cut:]
			l, ok := parts[left]
			r, too := parts[right]
			_, has := ids[left]
			_, hasToo := ids[right]
			if ok && too && has && hasToo {
				list = append(list, merge{left, right, scores[p.text], at, runes - at, l, r})
			}
		}
		slices.SortStableFunc(list[first:], func(a, b merge) int {
			return cmp.Or(cmp.Compare(a.leftNumber, b.leftNumber), cmp.Compare(a.rightNumber, b.rightNumber))
		})
	}
	slices.SortStableFunc(list, func(a, b merge) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.leftRunes, a.leftRunes), cmp.Compare(b.rightRunes, a.rightRunes))
	})
	pairs := make([][2]string, len(list))
	for i, x := range list {
		pairs[i] = [2]string{x.left, x.right}
	}
	return pairs
}
