package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// file is a parsed tokenizer.json, as far as it is read here.
type file struct {
	sections   map[string]json.RawMessage
	added      []addedToken
	model      model
	vocabulary vocabulary
}

type addedToken struct {
	ID      int32  `json:"id"`
	Content string `json:"content"`
	LStrip  bool   `json:"lstrip"`
	RStrip  bool   `json:"rstrip"`
	Special bool   `json:"special"`
}

type model struct {
	Type     string          `json:"type"`
	UnkToken *string         `json:"unk_token"`
	Prefix   *string         `json:"continuing_subword_prefix"`
	Vocab    json.RawMessage `json:"vocab"`
	Merges   json.RawMessage `json:"merges"`
}

// A vocabulary maps tokens to ids.
type vocabulary struct {
	tokens   map[string]int32
	added    map[string]int32
	maxID    int32
	maxToken string
	// unknown is what the model uses for text that it cannot spell; "" is none.
	unknown string
}

// lacksUnknown reports whether the model's unknown token is not in its own
// vocabulary: then it refuses texts that it cannot spell.
func (v vocabulary) lacksUnknown() bool {
	_, ok := v.tokens[v.unknown]
	return v.unknown != "" && !ok
}

func (v vocabulary) id(token string) (int32, bool) {
	if id, ok := v.added[token]; ok {
		return id, true
	}
	id, ok := v.tokens[token]
	return id, ok
}

// readFile parses a tokenizer.json.
func readFile(data []byte) (*file, error) {
	f := &file{}
	if err := json.Unmarshal(data, &f.sections); err != nil {
		return nil, jsonError(data, err)
	}
	if _, ok := f.sections["model"]; !ok {
		return nil, errors.New(`it has no "model": not a tokenizer of Hugging Face's tokenizers library`)
	}
	if err := json.Unmarshal(f.sections["model"], &f.model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if raw, ok := f.sections["added_tokens"]; ok {
		if err := json.Unmarshal(raw, &f.added); err != nil {
			return nil, fmt.Errorf("added_tokens: %w", err)
		}
	}
	if f.model.Type != "WordPiece" {
		if err := f.model.checkMerges(); err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
	}
	tokens, err := readVocab(f.model.Vocab)
	if err != nil {
		return nil, fmt.Errorf("model: vocab: %w", err)
	}
	f.vocabulary = vocabulary{tokens: tokens, added: map[string]int32{}, maxID: -1}
	if f.model.UnkToken != nil {
		f.vocabulary.unknown = *f.model.UnkToken
	}
	for token, id := range tokens {
		f.vocabulary.note(token, id)
	}
	for _, a := range f.added {
		f.vocabulary.added[a.Content] = a.ID
		f.vocabulary.note(a.Content, a.ID)
	}
	if f.vocabulary.maxID < 0 {
		return nil, errors.New("the vocabulary is empty")
	}
	return f, nil
}

func (v *vocabulary) note(token string, id int32) {
	if id > v.maxID {
		v.maxID, v.maxToken = id, token
	}
}

// readVocab reads the vocabulary of BPE, WordPiece and WordLevel (an object
// from token to id) or of Unigram (a list of pairs of token and score).
func readVocab(raw json.RawMessage) (map[string]int32, error) {
	if len(raw) == 0 {
		return nil, errors.New("missing")
	}
	if raw[0] == '{' {
		var tokens map[string]int32
		if err := json.Unmarshal(raw, &tokens); err != nil {
			return nil, err
		}
		for token, id := range tokens {
			if id < 0 {
				return nil, fmt.Errorf("token %q has the id %d", token, id)
			}
		}
		return tokens, nil
	}
	var pairs []unigramPiece
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return nil, err
	}
	if len(pairs) > math.MaxInt32 {
		return nil, fmt.Errorf("%d tokens", len(pairs))
	}
	tokens := make(map[string]int32, len(pairs))
	for i, p := range pairs {
		tokens[p.token] = int32(i)
	}
	return tokens, nil
}

// unigramPiece is the token of a [token, score] pair.
type unigramPiece struct{ token string }

func (p *unigramPiece) UnmarshalJSON(data []byte) error {
	var score float64
	pair := []any{&p.token, &score}
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a piece has %d parts, not a token and a score", len(pair))
	}
	return nil
}

// checkMerges checks that the second part of each merge of a BPE model has the
// prefix of word continuations, where there is one: the Rust library cuts that
// off without looking, and ends the process.
func (m model) checkMerges() error {
	if m.Prefix == nil || *m.Prefix == "" || m.Merges == nil {
		return nil
	}
	var merges []json.RawMessage
	if err := json.Unmarshal(m.Merges, &merges); err != nil {
		return err
	}
	for i, raw := range merges {
		var parts []string
		var line string
		if json.Unmarshal(raw, &line) == nil {
			parts = strings.Split(line, " ")
		} else if err := json.Unmarshal(raw, &parts); err != nil {
			return fmt.Errorf("merge %d: %w", i, err)
		}
		if len(parts) != 2 || !strings.HasPrefix(parts[1], *m.Prefix) {
			return fmt.Errorf("merge %d, %s, does not continue a word with %q", i, raw, *m.Prefix)
		}
	}
	return nil
}

// padding is what tokenizer.json stores about padding, nil when nothing.
func (f *file) padding() *storedPadding {
	var p *storedPadding
	if json.Unmarshal(f.sections["padding"], &p) != nil {
		return nil
	}
	return p
}

type storedPadding struct {
	Direction string `json:"direction"` // "Left" or "Right"
	PadID     int32  `json:"pad_id"`
}

// bare is the file without what is done in Go (padding, truncation and special
// tokens) and what is not needed (the decoder).
func (f *file) bare() ([]byte, error) {
	sections := make(map[string]json.RawMessage, len(f.sections))
	for name, section := range f.sections {
		sections[name] = section
	}
	for _, name := range []string{"padding", "truncation", "post_processor", "decoder"} {
		sections[name] = json.RawMessage("null")
	}
	sections["version"] = json.RawMessage(`"1.0"`)
	for _, name := range []string{"normalizer", "pre_tokenizer"} {
		if bytes.Contains(sections[name], []byte(`\u0000`)) {
			return nil, fmt.Errorf("%s: a NUL character is not supported", name) // it would end the process if it came into an error message
		}
	}
	return json.Marshal(sections)
}

// jsonError adds the place to a syntax error, and says so when the file ends
// too early.
func jsonError(data []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	if syntax.Offset >= int64(len(data)) {
		return fmt.Errorf("the file is cut off after %d bytes: %w", len(data), err)
	}
	return fmt.Errorf("at byte %d: %w", syntax.Offset, err)
}
