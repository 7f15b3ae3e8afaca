package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// specialToken is the begin or the end token with its id.
type specialToken struct {
	text string
	id   int64
}

// withSpecialTokens is a tokenizer.json that puts the begin and the end token, as far as they are on, around each text, in the place of
// what its post-processor puts there: "single" and "pair" of a TemplateProcessing, as transformers writes them for add_bos_token and
// add_eos_token. dir holds the files that name the tokens.
func withSpecialTokens(raw []byte, dir string, begin, end bool) ([]byte, error) {
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(raw, &sections); err != nil {
		return nil, err
	}
	around := map[string]specialToken{}
	for role, wanted := range map[string]bool{"bos": begin, "eos": end} {
		if !wanted {
			continue
		}
		t, err := namedToken(sections, dir, role)
		if err != nil {
			return nil, fmt.Errorf("add_%s_token: %w", role, err)
		}
		around[role] = t
	}
	template, err := json.Marshal(templateProcessing(around))
	if err != nil {
		return nil, err
	}
	processors, err := otherProcessors(sections["post_processor"])
	if err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	if len(processors) > 0 {
		template, err = json.Marshal(map[string]any{"type": "Sequence", "processors": append(processors, template)})
		if err != nil {
			return nil, err
		}
	}
	sections["post_processor"] = template
	return json.MarshalIndent(sections, "", "  ")
}

// namedToken finds the token of a role ("bos" or "eos") in tokenizer_config.json or special_tokens_map.json, and its id.
func namedToken(sections map[string]json.RawMessage, dir, role string) (specialToken, error) {
	name := ""
	for _, file := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		var keys map[string]json.RawMessage
		if err := readOptional(dir, file, &keys); err != nil {
			return specialToken{}, err
		}
		var object struct{ Content string }
		raw := keys[role+"_token"]
		if raw == nil {
			continue
		}
		if json.Unmarshal(raw, &name) != nil && json.Unmarshal(raw, &object) == nil { // a string, or an added token
			name = object.Content
		}
	}
	if name == "" {
		return specialToken{}, fmt.Errorf("the configuration names no %s_token", role)
	}
	var added []struct {
		ID      int64
		Content string
	}
	if raw := sections["added_tokens"]; raw != nil {
		if err := json.Unmarshal(raw, &added); err != nil {
			return specialToken{}, fmt.Errorf("added_tokens: %w", err)
		}
	}
	for _, a := range added {
		if a.Content == name {
			return specialToken{name, a.ID}, nil
		}
	}
	var model struct{ Vocab map[string]int64 }
	if err := json.Unmarshal(sections["model"], &model); err != nil {
		return specialToken{}, fmt.Errorf("model: %w", err)
	}
	id, ok := model.Vocab[name]
	if !ok {
		return specialToken{}, fmt.Errorf("%s_token %q is not in the vocabulary", role, name)
	}
	return specialToken{name, id}, nil
}

// templateProcessing is the post-processor of the tokenizers library that puts the tokens around a text and around each text of a pair.
func templateProcessing(around map[string]specialToken) map[string]any {
	known := map[string]any{}
	piece := func(kind, id string, segment int) map[string]any {
		return map[string]any{kind: map[string]any{"id": id, "type_id": segment}}
	}
	half := func(sequence string, segment int) []any {
		list := []any{piece("Sequence", sequence, segment)}
		if t, ok := around["bos"]; ok {
			list = append([]any{piece("SpecialToken", t.text, segment)}, list...)
		}
		if t, ok := around["eos"]; ok {
			list = append(list, piece("SpecialToken", t.text, segment))
		}
		return list
	}
	for _, t := range around {
		known[t.text] = map[string]any{"id": t.text, "ids": []int64{t.id}, "tokens": []string{t.text}}
	}
	return map[string]any{
		"type": "TemplateProcessing", "single": half("A", 0), "pair": append(half("A", 0), half("B", 1)...), "special_tokens": known,
	}
}

// otherProcessors are those of a post-processor that add no tokens.
func otherProcessors(raw json.RawMessage) ([]json.RawMessage, error) {
	var p *struct {
		Type       string
		Processors []json.RawMessage
	}
	if raw == nil {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &p); err != nil || p == nil {
		return nil, err
	}
	switch p.Type {
	case "ByteLevel":
		return []json.RawMessage{raw}, nil
	case "Sequence":
		var kept []json.RawMessage
		for _, one := range p.Processors {
			more, err := otherProcessors(one)
			if err != nil {
				return nil, err
			}
			kept = append(kept, more...)
		}
		return kept, nil
	}
	return nil, nil
}

// specialTokens rewrites the directory's tokenizer.json where the model was opened with other special tokens than it has.
func (s *saver) specialTokens() error {
	m := s.model
	if m.begin == nil && m.end == nil || m.Tokenizer == "" {
		return nil
	}
	path := filepath.Join(s.dir, "tokenizer.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	is := func(b *bool) bool { return b != nil && *b }
	if raw, err = withSpecialTokens(raw, s.dir, is(m.begin), is(m.end)); err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	return errors.Join(os.Remove(path), os.WriteFile(path, raw, 0o666)) // the old one may be linked to the source's
}
