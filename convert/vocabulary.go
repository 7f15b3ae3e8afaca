package convert

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Vocabulary is what stayed of a model's tokens.
type Vocabulary struct {
	Keep      []int    // their former ids, by their present ones; ascending
	Tokens    []string // the tokens, by id
	Tokenizer []byte   // tokenizer.json of these tokens
}

func (v *Vocabulary) size() int {
	if v == nil {
		return 0
	}
	return len(v.Keep)
}

// tokenIDs sets the ids in config.json that name special tokens, pad_token_id and its like.
func (v *Vocabulary) tokenIDs(keys map[string]json.RawMessage, set map[string]any) {
	if v == nil {
		return
	}
	for key, raw := range keys {
		var id int
		if !strings.HasSuffix(key, "_token_id") || json.Unmarshal(raw, &id) != nil || string(raw) == "null" {
			continue
		}
		if n, ok := slices.BinarySearch(v.Keep, id); ok {
			set[key] = n
		} else {
			set[key] = nil
		}
	}
}

// tokenTables are the ends of the names that tables of token embeddings have.
var tokenTables = []string{"word_embeddings.weight", "tok_embeddings.weight", "embed_tokens.weight", "shared.weight"}

// pickRows leaves the checkpoint's tensors that no graph is made of, such as a language model's head,
// the rows of the tokens that stayed, where they have a row for each token.
func (s *source) pickRows(v *Vocabulary, used map[string]string) {
	kept := make([]rowRange, len(v.Keep))
	for i, row := range v.Keep {
		kept[i] = rowRange{int64(row), 1}
	}
	inGraph := map[string]bool{}
	rows := int64(-1)
	for _, name := range used {
		inGraph[name] = true
	}
	for name, t := range s.tensors {
		if inGraph[name] && slices.ContainsFunc(tokenTables, func(end string) bool { return strings.HasSuffix(name, end) }) {
			rows = t.Shape[0]
		}
	}
	for name, t := range s.tensors {
		if inGraph[name] || len(t.Shape) == 0 || t.Shape[0] != rows {
			continue
		}
		raw := s.raw[name]
		picked := *t
		picked.Shape = slices.Clone(t.Shape)
		picked.Shape[0] = int64(len(v.Keep))
		s.tensors[name] = &picked
		s.raw[name] = rawTensor{computed{rowsOf(storedData{raw.stored}.Bytes, raw.Size()/rows, kept)}, raw.dtype}
	}
}

// prunedTokenizer writes the tokenizer's files with the tokens that stayed: tokenizer.json, which holds all, its
// settings, and vocab.txt where there was one. Files in the formats of other libraries are left out.
func (s *saver) prunedTokenizer(v *Vocabulary) error {
	if err := os.WriteFile(filepath.Join(s.dir, "tokenizer.json"), v.Tokenizer, 0o666); err != nil {
		return err
	}
	for _, name := range []string{"special_tokens_map.json", "chat_template.jinja", "tokenizer_config.json"} {
		if from := filepath.Join(s.model.tokenizerDir, name); exists(from) {
			if err := s.link(from, name); err != nil {
				return err
			}
		}
	}
	if exists(filepath.Join(s.model.tokenizerDir, "vocab.txt")) {
		lines := strings.Join(v.Tokens, "\n") + "\n"
		if err := os.WriteFile(filepath.Join(s.dir, "vocab.txt"), []byte(lines), 0o666); err != nil {
			return err
		}
	}
	const name = "tokenizer_config.json"
	config := map[string]any{}
	if err := readOptional(s.dir, name, &config); err != nil {
		return err
	}
	if decoder, ok := config["added_tokens_decoder"].(map[string]any); ok {
		renumbered := map[string]any{}
		for id, token := range decoder {
			old, err := strconv.Atoi(id)
			if err != nil {
				return fmt.Errorf("%s: added_tokens_decoder: %w", name, err)
			}
			if n, ok := slices.BinarySearch(v.Keep, old); ok {
				renumbered[strconv.Itoa(n)] = token
			}
		}
		config["added_tokens_decoder"] = renumbered
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil { // it may be a link to the model's own
			return err
		}
		if err := writeJSON(filepath.Join(s.dir, name), config); err != nil {
			return err
		}
	}
	return s.tokenizerConfig()
}
