package tokenizerjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"graft/lines"
)

// roles are the special tokens that the configuration names under "<role>_token", in the order in which the library adds them.
var roles = []string{"bos", "eos", "unk", "sep", "pad", "cls", "mask"}

// settings is what the files beside the vocabulary say.
type settings struct {
	values    map[string]json.RawMessage // tokenizer_config.json, with what special_tokens_map.json has in its place
	numbered  []addedToken               // tokens with the ids that they must get, by id
	modelType string                     // of config.json
}

// readSettings reads them as the library does: where tokenizer_config.json has added_tokens_decoder (since 4.33), it has all;
// else special_tokens_map.json stands above it and added_tokens.json has the ids.
func readSettings(dir string) (*settings, error) {
	s := &settings{values: map[string]json.RawMessage{}}
	var model struct {
		Type  string `json:"model_type"`
		Class string `json:"tokenizer_class"`
	}
	if err := optional(dir, "config.json", &model); err != nil {
		return nil, err
	}
	s.modelType = model.Type
	if err := optional(dir, "tokenizer_config.json", &s.values); err != nil {
		return nil, err
	}
	if s.values == nil { // the file says null
		s.values = map[string]json.RawMessage{}
	}
	if s.text("tokenizer_class") == "" && model.Class != "" {
		s.values["tokenizer_class"], _ = json.Marshal(model.Class)
	}
	if s.has("added_tokens_decoder") {
		return s, s.readDecoder()
	}
	if err := s.readSpecialTokens(dir); err != nil {
		return nil, err
	}
	return s, s.readAddedTokens(dir)
}

// optional reads a JSON file where there is one.
func optional(dir, name string, v any) error {
	raw, err := readFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = lines.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (s *settings) readDecoder() error {
	var tokens map[string]addedTokenFields
	if err := lines.Unmarshal(s.values["added_tokens_decoder"], &tokens); err != nil {
		return fmt.Errorf("tokenizer_config.json: added_tokens_decoder: %w", err)
	}
	for id, fields := range tokens {
		t := fields.token()
		var err error
		if t.ID, err = strconv.Atoi(id); err != nil || t.ID < 0 {
			return fmt.Errorf("tokenizer_config.json: added_tokens_decoder: %q is no id", id)
		}
		s.numbered = append(s.numbered, t)
	}
	slices.SortFunc(s.numbered, func(a, b addedToken) int { return a.ID - b.ID })
	return nil
}

func (s *settings) readSpecialTokens(dir string) error {
	var special map[string]json.RawMessage
	if err := optional(dir, "special_tokens_map.json", &special); err != nil {
		return err
	}
	for key, raw := range special {
		if key != additionalKey || !s.has(key) {
			s.values[key] = raw
			continue
		}
		var first, more []json.RawMessage
		if err := errors.Join(lines.Unmarshal(s.values[key], &first), lines.Unmarshal(raw, &more)); err != nil {
			return fmt.Errorf("special_tokens_map.json: %s: %w", key, err)
		}
		more = slices.DeleteFunc(more, func(t json.RawMessage) bool {
			return slices.ContainsFunc(first, func(o json.RawMessage) bool { return bytes.Equal(o, t) })
		})
		s.values[key], _ = json.Marshal(append(first, more...))
	}
	return nil
}

// readAddedTokens reads added_tokens.json: special are those that the configuration names.
func (s *settings) readAddedTokens(dir string) error {
	var ids map[string]int
	if err := optional(dir, "added_tokens.json", &ids); err != nil {
		return err
	}
	special := map[string]bool{}
	for _, role := range roles {
		t, _, err := s.token(role)
		if err != nil {
			return err
		}
		special[t.Content] = true
	}
	additional, err := s.additional(nil)
	if err != nil {
		return err
	}
	for _, t := range additional {
		special[t.Content] = true
	}
	for content, id := range ids {
		if id < 0 {
			return fmt.Errorf("added_tokens.json: token %q has id %d", content, id)
		}
		s.numbered = append(s.numbered, addedToken{ID: id, Content: content, Special: special[content], Normalized: !special[content]})
	}
	slices.SortFunc(s.numbered, func(a, b addedToken) int { return a.ID - b.ID })
	return nil
}

// has reports whether a key has a value other than null.
func (s *settings) has(key string) bool {
	raw, ok := s.values[key]
	return ok && string(raw) != "null"
}

// flag is a boolean setting.
func (s *settings) flag(key string, otherwise bool) (bool, error) {
	if !s.has(key) {
		return otherwise, nil
	}
	if err := lines.Unmarshal(s.values[key], &otherwise); err != nil {
		return false, fmt.Errorf("tokenizer_config.json: %s: %w", key, err)
	}
	return otherwise, nil
}

// spaces are the settings of a SentencePiece model that say where a text's pieces begin with a space: legacy, at each stretch between
// special tokens and not at the first alone; prefix, at any.
func (s *settings) spaces() (legacy, prefix bool, err error) {
	if legacy, err = s.flag("legacy", true); err != nil {
		return false, false, err
	}
	prefix, err = s.flag("add_prefix_space", true)
	return legacy, prefix, err
}

// number is a setting that is a whole number.
func (s *settings) number(key string, otherwise int) (int, error) {
	if !s.has(key) {
		return otherwise, nil
	}
	if err := lines.Unmarshal(s.values[key], &otherwise); err != nil {
		return 0, fmt.Errorf("tokenizer_config.json: %s: %w", key, err)
	}
	return otherwise, nil
}

// text is a setting, "" where it is none.
func (s *settings) text(key string) string {
	var text string
	if json.Unmarshal(s.values[key], &text) != nil {
		return ""
	}
	return text
}

// className is the class that the files name; by the model's type, or by the vocabulary's file, where they name none.
func (s *settings) className(vocabulary string) string {
	if name := s.text("tokenizer_class"); name != "" && name != "TokenizersBackend" {
		return strings.TrimSuffix(name, "Fast")
	}
	if name := modelClasses[s.modelType]; name != "" {
		return name
	}
	if vocabulary == vocabText {
		return "BertTokenizer"
	}
	return ""
}

const additionalKey = "additional_special_tokens"

// token is the special token of a role. text says that it is given as a mere text, which leaves open how it is matched.
func (s *settings) token(role string) (t addedToken, text bool, err error) {
	raw, ok := s.values[role+"_token"]
	if !ok {
		return addedToken{}, false, nil
	}
	t, text, err = readToken(raw)
	if err != nil {
		return t, false, fmt.Errorf("tokenizer_config.json: %s_token: %w", role, err)
	}
	return t, text, nil
}

// additional are the further special tokens.
func (s *settings) additional(otherwise []string) ([]specialToken, error) {
	var list []specialToken
	var raws []json.RawMessage
	if s.has(additionalKey) {
		if err := lines.Unmarshal(s.values[additionalKey], &raws); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %s: %w", additionalKey, err)
		}
	} else {
		for _, token := range otherwise {
			raw, _ := json.Marshal(token)
			raws = append(raws, raw)
		}
	}
	for _, raw := range raws {
		t, text, err := readToken(raw)
		if err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %s: %w", additionalKey, err)
		}
		if t.Content != "" {
			t.Special = true
			list = append(list, specialToken{t, !text})
		}
	}
	return list, nil
}
