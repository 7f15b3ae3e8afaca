package tokenizerjson

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var slow = filepath.Join("..", "..", "testdata", "tokenizers", "slow")

// folderCase is a folder of a slow tokenizer and what transformers makes of it.
type folderCase struct {
	From      map[string]string          // files of vocabularies
	Files     map[string]json.RawMessage // files beside them
	Tokenizer map[string]any
	Special   map[string]*string
	Side      string
}

func readCases(t *testing.T) map[string]folderCase {
	raw, err := os.ReadFile(filepath.Join(slow, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]folderCase
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases { // vocabularies and merges stand once
		model := c.Tokenizer["model"].(map[string]any)
		for _, key := range []string{"vocab", "merges"} {
			if text, ok := model[key].(string); ok {
				model[key] = cases[strings.TrimPrefix(text, "as ")].Tokenizer["model"].(map[string]any)[key]
			}
		}
	}
	return cases
}

// write writes the folder.
func (c folderCase) write(t *testing.T) string {
	dir := t.TempDir()
	for name, from := range c.From {
		raw, err := os.ReadFile(filepath.Join(slow, from))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, name, string(raw))
	}
	for name, content := range c.Files {
		writeFile(t, dir, name, string(content))
	}
	return dir
}

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestTransformers compares each tokenizer.json with the one that transformers makes.
func TestTransformers(t *testing.T) {
	for name, c := range readCases(t) {
		t.Run(name, func(t *testing.T) {
			made, err := Make(c.write(t))
			if err != nil {
				t.Fatal(err)
			}
			var got, config map[string]any
			if err := errors.Join(json.Unmarshal(made.JSON, &got), json.Unmarshal(made.Config, &config)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.Tokenizer, got); d != "" {
				t.Error(d)
			}
			for role, token := range c.Special {
				if got := config[role+"_token"]; token == nil && got != nil || token != nil && got != *token {
					t.Errorf("%s: %v, want %v", role, got, token)
				}
			}
			if side, _ := config["padding_side"].(string); side != c.Side && side+c.Side != "right" {
				t.Errorf("padding side %q, want %q", side, c.Side)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for name, test := range map[string]struct {
		of, file, content, want string
	}{
		"unknown class":     {"llama", "tokenizer_config.json", `{"tokenizer_class": "NewTokenizer"}`, `tokenizer class "NewTokenizer"`},
		"no class":          {"gpt2", "tokenizer_config.json", `{}`, `tokenizer class ""`},
		"another file":      {"llama", "tokenizer_config.json", `{"tokenizer_class": "BertTokenizer"}`, "a BertTokenizer has its vocabulary in vocab.txt, which is not there"},
		"not protobuf":      {"llama", "tokenizer.model", "IQ== 0\nIg== 1\n", "no SentencePiece model"},
		"empty":             {"llama", "tokenizer.model", "", "there are no pieces"},
		"too long":          {"llama", "tokenizer.model", "\x0a\xff\xff\xff\xff\x7f", "field 1 at byte 0: unexpected EOF"},
		"two pieces":        {"llama", "tokenizer.model", "\x0a\x03\x0a\x01a\x0a\x03\x0a\x01b\x12\x02\x18\x02", "it has 2 pieces"},
		"not UTF-8":         {"llama", "tokenizer.model", "\x0a\x03\x0a\x01\xff", "is not UTF-8"},
		"no number":         {"llama", "tokenizer.model", "\x0a\x08\x0a\x01a\x15\x00\x00\xc0\x7f", "has the score NaN"},
		"char model":        {"llama", "tokenizer.model", "\x0a\x03\x0a\x01a\x0a\x03\x0a\x01b\x0a\x03\x0a\x01c\x12\x02\x18\x04", `kind "char"`},
		"config":            {"llama", "tokenizer_config.json", `{"tokenizer_class": "LlamaTokenizer", "legacy": 3}`, "legacy: have a number, want true or false"},
		"role":              {"llama", "tokenizer_config.json", `{"tokenizer_class": "LlamaTokenizer", "bos_token": 3}`, "bos_token: neither a text nor an added token"},
		"gap":               {"llama", "added_tokens.json", `{"<a>": 400, "<b>": 402}`, `"<b>" is to have id 402, but the fast tokenizer gives it 401`},
		"below zero":        {"llama", "added_tokens.json", `{"<a>": -1}`, `token "<a>" has id -1`},
		"decoder":           {"llama", "tokenizer_config.json", `{"tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": {"x": {"content": "a"}}}`, `"x" is no id`},
		"begin of none":     {"llama", "tokenizer_config.json", `{"tokenizer_class": "LlamaTokenizer", "bos_token": null}`, `special token "" is not in it`},
		"merge":             {"gpt2", "merges.txt", "#version: 0.2\nab\n", `line 2 is "ab", want two tokens`},
		"merge of no token": {"gpt2", "merges.txt", "#version: 0.2\n\u4e00 \u4e01\n", "vocab.json has no token"},
		"vocabulary":        {"gpt2", "vocab.json", `{"a": "b"}`, "have a text"},
		"vocabulary text":   {"bert", "vocab.txt", "[UNK]\n\xff\n", "it is not UTF-8"},
		"empty vocabulary":  {"gpt2", "vocab.json", `{}`, "it is empty"},
		"extra ids":         {"t5", "tokenizer_config.json", `{"tokenizer_class": "T5Tokenizer", "extra_ids": 3, "additional_special_tokens": ["<extra_id_0>"]}`, "extra_ids is 3, but additional_special_tokens lists 1"},
		"too many ids":      {"t5", "tokenizer_config.json", `{"tokenizer_class": "T5Tokenizer", "extra_ids": 1000000000}`, "extra_ids is 1000000000"},
		"flag":              {"albert", "tokenizer_config.json", `{"tokenizer_class": "AlbertTokenizer", "keep_accents": "no"}`, "keep_accents: have a text"},
		"null":              {"gpt2", "tokenizer_config.json", "null", `tokenizer class ""`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c, ok := readCases(t)[test.of]; ok {
				dir = c.write(t)
			}
			writeFile(t, dir, test.file, test.content)
			if _, err := Make(dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	if _, err := Make(t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestDamaged reads models that are cut off and changed anywhere: an error or a tokenizer, never more.
func TestDamaged(t *testing.T) {
	for _, name := range []string{"llama.model", "unigram.model"} {
		whole, err := os.ReadFile(filepath.Join(slow, name))
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		for i := 0; i < len(whole); i += 7 {
			if s, err := readSentencePiece(whole[:i]); err == nil && len(s.pieces) == 0 {
				t.Fatalf("%d bytes are a model without pieces", i)
			}
			damaged := append([]byte(nil), whole...)
			damaged[i] = byte(r.Uint32())
			readSentencePiece(damaged)
		}
	}
}
