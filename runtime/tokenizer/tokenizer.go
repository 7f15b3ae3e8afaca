// Package tokenizer turns texts into token ids exactly as Hugging Face's fast
// tokenizers do. The vocabulary model runs in their Rust library (through
// daulet/tokenizers); special tokens, truncation and pairs are done here, from
// the file's own template, because the binding lacks them.
//
// Padding and truncation stored in tokenizer.json are ignored: how long a text
// may be is the model's and the caller's business.
package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	rust "github.com/daulet/tokenizers"
)

// Names of the files of a tokenizer in a model directory.
const (
	fileTokenizer = "tokenizer.json"
	fileConfig    = "tokenizer_config.json"
	fileSpecial   = "special_tokens_map.json"
)

// Files are the contents of a tokenizer's files; all but Tokenizer may be nil.
type Files struct {
	Tokenizer []byte // tokenizer.json
	Config    []byte // tokenizer_config.json
	Special   []byte // special_tokens_map.json
}

// Options override what the files say. The zero value overrides nothing.
type Options struct {
	PadToken       string // a token, or the role of one: unk_token, eos_token, …
	PaddingSide    Side
	TruncationSide Side
	// AddBOSToken and AddEOSToken, when one is set, replace the file's template
	// by [bos] text [eos], as transformers does for its arguments of these names.
	// (What tokenizer_config.json says under these names has no effect when there
	// is a tokenizer.json, in transformers 5 as here.)
	AddBOSToken, AddEOSToken *bool
}

// A Side is an end of a text.
type Side string

// The two ends of a text.
const (
	Left  Side = "left"
	Right Side = "right"
)

// A Tokenizer encodes texts. It is safe for concurrent use; Close must not run
// beside other calls.
type Tokenizer struct {
	config     config
	vocabulary vocabulary
	single     template
	pair       template
	cut        bool // whether a long text may be cut between words first

	rust *rust.Tokenizer
	// escaped encodes texts with NUL bytes, which cannot pass through the
	// binding's C strings; it is made when the first such text comes.
	escaped     *rust.Tokenizer
	escapedErr  error
	escapedOnce sync.Once
	json        []byte
}

// Open reads the tokenizer.json of a model directory and the configuration files beside it.
func Open(dir string, o Options) (*Tokenizer, error) {
	return FromFile(filepath.Join(dir, fileTokenizer), o)
}

// FromFile reads a tokenizer.json and the configuration files beside it.
func FromFile(path string, o Options) (*Tokenizer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read tokenizer: %w", err)
	}
	f := Files{Tokenizer: data}
	for name, to := range map[string]*[]byte{fileConfig: &f.Config, fileSpecial: &f.Special} {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read tokenizer: %w", err)
		}
		*to = data
	}
	t, err := FromBytes(f, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// FromBytes makes a tokenizer from the contents of its files.
func FromBytes(f Files, o Options) (*Tokenizer, error) {
	c, err := readConfig(f, o)
	if err != nil {
		return nil, err
	}
	file, err := readFile(f.Tokenizer)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", fileTokenizer, err)
	}
	if err := file.followConfig(c); err != nil {
		return nil, fmt.Errorf("read %s: normalizer: %w", fileTokenizer, err)
	}
	if err := file.checkCharsmaps(); err != nil {
		return nil, fmt.Errorf("read %s: normalizer: %w", fileTokenizer, err)
	}
	t := &Tokenizer{config: c, vocabulary: file.vocabulary, cut: file.cuttable()}
	if err := t.setTemplates(file, o); err != nil {
		return nil, fmt.Errorf("read %s: %w", fileTokenizer, err)
	}
	if err := t.config.resolve(file, o); err != nil {
		return nil, err
	}
	if t.json, err = file.bare(); err != nil {
		return nil, fmt.Errorf("read %s: %w", fileTokenizer, err)
	}
	if t.rust, err = newRust(t.json); err != nil {
		return nil, fmt.Errorf("read %s: %w", fileTokenizer, err)
	}
	return t, nil
}

// newRust makes the Rust tokenizer. The JSON has been checked: a panic in Rust
// would end the process.
func newRust(json []byte) (*rust.Tokenizer, error) {
	t, err := rust.FromBytes(json)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "Failed to create tokenizer from bytes: "))
	}
	return t, nil
}

// Close frees the tokenizer's memory.
func (t *Tokenizer) Close() error {
	if t.rust == nil {
		return nil
	}
	err := t.rust.Close()
	if t.escaped != nil {
		err = errors.Join(err, t.escaped.Close())
	}
	t.rust, t.escaped = nil, nil
	return err
}

// PadID returns the id to pad with. Where the tokenizer has no padding token
// it is the end token's, the unknown token's or 0: padded positions are masked,
// so their ids do not matter.
func (t *Tokenizer) PadID() int32 { return t.config.padID }

// PaddingSide returns the side on which the model's own library pads.
func (t *Tokenizer) PaddingSide() Side { return t.config.PaddingSide }

// ModelMaxLength returns tokenizer_config.json's model_max_length, or 0 when
// it sets no limit.
func (t *Tokenizer) ModelMaxLength() int { return t.config.maxLength() }

// VocabSize returns the number of tokens, added ones included.
func (t *Tokenizer) VocabSize() int { return int(t.rust.VocabSize()) }

// MaxID returns the largest id that the tokenizer can produce.
func (t *Tokenizer) MaxID() int32 { return t.vocabulary.maxID }

// CheckRows returns an error when the tokenizer can produce an id for which an
// embedding table of that many rows has no row.
func (t *Tokenizer) CheckRows(rows int) error {
	if int(t.vocabulary.maxID) < rows {
		return nil
	}
	return fmt.Errorf("tokenizer does not fit the model: token %q has id %d, the embedding table has %d rows",
		t.vocabulary.maxToken, t.vocabulary.maxID, rows)
}

// TokenID returns a special token's id by its role: "pad", "bos", "eos",
// "cls", "sep", "mask" or "unk".
func (t *Tokenizer) TokenID(role string) (id int32, ok bool) {
	id, ok = t.config.ids[role]
	return id, ok
}
