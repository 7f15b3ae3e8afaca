package convert

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"graft/convert/gguf"
)

func sortedKeys[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// ggufSpecial are the special tokens by their names in transformers and in llama.cpp.
var ggufSpecial = map[string]string{"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}

// The expressions that cut a text before byte-pair encoding (llama.cpp, llama-vocab.cpp).
const (
	gpt2Words   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`
	llama3Words = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Words  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// preTokenizer is how a text is cut, one expression after the other.
type preTokenizer struct {
	cuts   []string
	nfc    bool // the text is normalized first
	whole  bool // a word that is a token stays one, whatever the merges say
	begins bool // a text begins with the begin token unless the file says otherwise
}

// preTokenizers are by tokenizer.ggml.pre.
var preTokenizers = map[string]preTokenizer{
	"default":   {cuts: []string{`[\p{P}\$\+<=>\^~\|]+`, gpt2Words, `\p{N}+`, `[0-9][0-9][0-9]`}},
	"gpt-2":     {cuts: []string{gpt2Words}},
	"smollm":    {cuts: []string{`\p{N}`, gpt2Words}},
	"starcoder": {cuts: []string{`\p{N}`, gpt2Words}},
	"llama-bpe": {cuts: []string{llama3Words}, whole: true, begins: true},
	"qwen2":     {cuts: []string{qwen2Words}, nfc: true},
}

// The types of tokens (llama_token_type) that are not ordinary.
const (
	controlToken = 3
	userToken    = 4
	unusedToken  = 5
)

type object = map[string]any

// ggufTokenizer writes the file's tokenizer as the Hugging Face libraries read it.
func (t *translation) ggufTokenizer(f *gguf.File) error {
	if t.has("tokenizer.json") {
		return nil
	}
	kind, _ := gguf.Get[string](f, "tokenizer.ggml.model")
	read, ok := ggufTokenizers[kind]
	if !ok {
		t.warnings = append(t.warnings, fmt.Sprintf("the file's tokenizer is of the kind %q, which is not read (%s are): put a tokenizer.json beside the file or name one",
			kind, sortedKeys(ggufTokenizers)))
		return nil
	}
	if err := read(t, f); err != nil {
		return fmt.Errorf("tokenizer: %w", err)
	}
	return nil
}

// ggufTokenizers read the kinds of tokenizers, by tokenizer.ggml.model.
var ggufTokenizers = map[string]func(*translation, *gguf.File) error{
	"gpt2":  (*translation).ggufBytes,
	"llama": (*translation).ggufPieces,
}

// ggufBytes reads a byte-level BPE tokenizer.
func (t *translation) ggufBytes(f *gguf.File) error {
	v, err := readVocabulary(f)
	if err != nil {
		return err
	}
	return v.write(t)
}

// ggufVocabulary is a byte-level BPE tokenizer as llama.cpp keeps it.
type ggufVocabulary struct {
	file   *gguf.File
	tokens []string
	kinds  []int64
	merges [][2]string
	cut    preTokenizer
}

func readVocabulary(f *gguf.File) (*ggufVocabulary, error) {
	v := &ggufVocabulary{file: f}
	pre, ok := gguf.Get[string](f, "tokenizer.ggml.pre")
	if !ok {
		pre = "default"
	}
	if v.cut, ok = preTokenizers[pre]; !ok {
		return nil, fmt.Errorf("pre-tokenizer %q is not known; known: %s", pre, sortedKeys(preTokenizers))
	}
	v.tokens, _ = gguf.Get[[]string](f, "tokenizer.ggml.tokens")
	v.kinds, _ = gguf.Get[[]int64](f, "tokenizer.ggml.token_type")
	if len(v.tokens) == 0 || v.kinds != nil && len(v.kinds) != len(v.tokens) {
		return nil, fmt.Errorf("%d tokens and %d token types", len(v.tokens), len(v.kinds))
	}
	merges, _ := gguf.Get[[]string](f, "tokenizer.ggml.merges")
	for i, m := range merges {
		left, right, ok := strings.Cut(m, " ")
		if !ok {
			return nil, fmt.Errorf("merge %d is %q, want two tokens", i, m)
		}
		v.merges = append(v.merges, [2]string{left, right})
	}
	return v, nil
}

// special is a special token's id, and whether the file names it and has it.
func (v *ggufVocabulary) special(name string) (uint64, bool) {
	id, ok := v.file.Uint("tokenizer.ggml." + name + "_token_id")
	return id, ok && id < uint64(len(v.tokens))
}

// write writes tokenizer.json and tokenizer_config.json.
func (v *ggufVocabulary) write(t *translation) error {
	vocab, added := map[string]int{}, []object{}
	for id, token := range v.tokens {
		kind := int64(0)
		if v.kinds != nil {
			kind = v.kinds[id]
		}
		if kind == unusedToken { // what fills the table up
			continue
		}
		if _, twice := vocab[token]; twice {
			return fmt.Errorf("token %q stands there twice", token)
		}
		vocab[token] = id
		if kind == controlToken || kind == userToken {
			added = append(added, object{"id": id, "content": token, "special": kind == controlToken,
				"single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
		}
	}
	file := object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer": nil, "pre_tokenizer": v.cut.json(), "post_processor": v.template(),
		"decoder": object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
		"model": object{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": v.cut.whole, "vocab": vocab, "merges": v.merges},
	}
	if v.cut.nfc {
		file["normalizer"] = object{"type": "NFC"}
	}
	if err := t.write("tokenizer.json", file); err != nil {
		return err
	}
	config := object{"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": []string{"input_ids", "attention_mask"}}
	v.describe(config)
	return t.write("tokenizer_config.json", config)
}

// describe adds to a tokenizer_config.json the special tokens and the chat template that the file names.
func (v *ggufVocabulary) describe(config object) {
	for key, name := range ggufSpecial {
		if id, ok := v.special(name); ok {
			config[key+"_token"] = v.tokens[id]
		}
	}
	if template, ok := gguf.Get[string](v.file, "tokenizer.chat_template"); ok {
		config["chat_template"] = template
	}
}

// json is pre_tokenizer in tokenizer.json: the cuts, then bytes as letters.
func (p preTokenizer) json() object {
	var steps []object
	for _, cut := range p.cuts {
		steps = append(steps, object{"type": "Split", "pattern": object{"Regex": cut}, "behavior": "Isolated", "invert": false})
	}
	steps = append(steps, object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false})
	return object{"type": "Sequence", "pretokenizers": steps}
}

// template puts the begin and the end token around a text where the file says so; nil: neither.
func (v *ggufVocabulary) template() any {
	single, pair, special := []object{}, []object{}, object{}
	around := func(name string, byDefault bool) {
		add, said := gguf.Get[bool](v.file, "tokenizer.ggml.add_"+name+"_token")
		if !said {
			add = byDefault
		}
		if id, ok := v.special(name); ok && add {
			token := v.tokens[id]
			special[token] = object{"id": token, "ids": []uint64{id}, "tokens": []string{token}}
			single = append(single, object{"SpecialToken": object{"id": token, "type_id": 0}})
			pair = append(pair, object{"SpecialToken": object{"id": token, "type_id": 1}})
		}
	}
	first := object{"Sequence": object{"id": "A", "type_id": 0}}
	second := object{"Sequence": object{"id": "B", "type_id": 1}}
	around("bos", v.cut.begins)
	single, pair = append(single, first), append(pair, second)
	around("eos", false)
	if len(special) == 0 {
		return nil
	}
	return object{"type": "TemplateProcessing", "single": single, "pair": slices.Concat(single, pair), "special_tokens": special}
}
