// Package tokenizerjson makes the tokenizer.json of Hugging Face's tokenizers library for a checkpoint that has the files of a slow
// tokenizer alone: vocab.txt, vocab.json and merges.txt, or a SentencePiece model, with added_tokens.json, special_tokens_map.json and
// tokenizer_config.json beside it.
//
// It makes what AutoTokenizer of transformers 4.57.6 makes of such a folder (convert_slow_tokenizer.py, tokenization_utils_base.py, the
// classes' own constructors), token by token and merge by merge. Version 5 differs for SentencePiece's BPE: it orders merges of equal
// results the other way round, puts no space before a text that begins with one, and takes a missing "legacy" for false. Version 4 agrees
// with the sentencepiece library and with the slow tokenizers that the checkpoints were trained with.
//
// Two things are otherwise. A token whose number in the files is not the one that the fast tokenizer gives it is an error, where the library
// changes the number without a word. A special token that the class alone names, and the vocabulary lacks, is left out, where the library
// gives it a number that no embedding has.
package tokenizerjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Tokenizer is a tokenizer in the two files that hold it.
type Tokenizer struct {
	JSON   []byte // tokenizer.json
	Config []byte // tokenizer_config.json, of a class that takes tokenizer.json as it stands, with all special tokens named
	Class  string // the slow tokenizer's class
	From   string // the file of the vocabulary
}

var (
	// ErrNone: the folder has no file of a vocabulary.
	ErrNone = errors.New("there is no vocabulary of a tokenizer")
	// ErrUnknown: it has one, but of a class that cannot be made, or not the one that its class has.
	ErrUnknown = errors.New("a tokenizer.json cannot be made")
)

// Make makes the tokenizer of a folder. Files are read, nothing is written.
func Make(dir string) (*Tokenizer, error) {
	found := ""
	for _, name := range vocabularies {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil && found == "" {
			found = name
		}
	}
	if found == "" {
		return nil, ErrNone
	}
	s, err := readSettings(dir)
	if err != nil {
		return nil, err
	}
	name := s.className(found)
	c, ok := classes[name]
	if !ok {
		return nil, fmt.Errorf("%w of %s for the tokenizer class %q (known: %s)", ErrUnknown, found, name,
			strings.Join(slices.Sorted(maps.Keys(classes)), ", "))
	}
	m := &maker{dir: dir, class: c, settings: s}
	if _, err := os.Stat(filepath.Join(dir, c.vocabulary)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: a %s has its vocabulary in %s, which is not there", ErrUnknown, name, c.vocabulary)
	}
	t, err := m.make()
	if err != nil {
		return nil, fmt.Errorf("make tokenizer.json from %s: %w", c.vocabulary, err)
	}
	t.Class, t.From = name, c.vocabulary
	return t, nil
}

type object = map[string]any

// maker makes one tokenizer: the model and its surroundings are the class's, then tokens are added, then the template is put around.
type maker struct {
	dir      string
	class    class
	settings *settings
	vocab    map[string]int    // the model's tokens
	size     int               // their number, from which added tokens are counted
	added    []addedToken      // in the order in which they came
	named    map[string]string // special tokens by role
	pieces   *sentencePiece    // the vocabulary, where it is SentencePiece's
	turns    []string          // user-defined pieces that are special
	extra    []string          // special tokens of the class, beside those that the configuration names
	file     object            // tokenizer.json
}

func (m *maker) make() (*Tokenizer, error) {
	m.file = object{"version": "1.0", "truncation": nil, "padding": nil, "normalizer": nil, "pre_tokenizer": nil, "decoder": nil}
	if err := m.class.model(m); err != nil {
		return nil, err
	}
	if err := m.addTokens(); err != nil {
		return nil, err
	}
	added := slices.Clone(m.added)
	slices.SortFunc(added, func(a, b addedToken) int { return a.ID - b.ID })
	m.file["added_tokens"] = added
	var err error
	if m.file["post_processor"], err = m.class.template(m); err != nil {
		return nil, err
	}
	t := &Tokenizer{}
	if t.JSON, err = json.Marshal(m.file); err != nil {
		return nil, err
	}
	t.Config, err = m.config()
	return t, err
}

// read reads a file of the folder, up to most bytes.
func (m *maker) read(name string) ([]byte, error) { return readFile(m.dir, name) }

// mostBytes is the size of the largest file that is read: larger than any known vocabulary by an order of magnitude.
const mostBytes = 256 << 20

func readFile(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > mostBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than any tokenizer's (%d)", name, info.Size(), mostBytes)
	}
	return os.ReadFile(path)
}

// config is tokenizer_config.json as the library would write it for the fast tokenizer, but of the class that takes
// tokenizer.json as it stands: the slow tokenizer's classes build theirs anew, and versions of the library differ in how.
func (m *maker) config() ([]byte, error) {
	c := object{}
	for key, raw := range m.settings.values {
		c[key] = raw
	}
	c["tokenizer_class"] = "PreTrainedTokenizerFast"
	for role, token := range m.named {
		c[role+"_token"] = token
	}
	tokens := object{}
	for _, t := range m.added {
		tokens[fmt.Sprint(t.ID)] = object{"content": t.Content, "single_word": t.SingleWord, "lstrip": t.LStrip, "rstrip": t.RStrip,
			"normalized": t.Normalized, "special": t.Special}
	}
	c["added_tokens_decoder"] = tokens
	if c["padding_side"] == nil && m.class.left {
		c["padding_side"] = "left"
	}
	if c["model_input_names"] == nil {
		names := []string{"input_ids", "attention_mask"}
		if m.class.types {
			names = []string{"input_ids", "token_type_ids", "attention_mask"}
		}
		c["model_input_names"] = names
	}
	return json.MarshalIndent(c, "", "  ")
}
