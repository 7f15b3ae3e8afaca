package prune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// This file rewrites tokenizer.json, the format of Hugging Face's tokenizers library.

// tokenizerFile is the part of it that names ids.
type tokenizerFile struct {
	all   map[string]any
	model map[string]any
	ids   map[string]int // token -> id, those of added_tokens included
	token map[int]string
}

// vocabularies are the kinds of model whose tokens can be taken out, by "type": what must stay beside
// the tokens that are used, and how the model is written with other ids.
var vocabularies = map[string]struct {
	closure func(f *tokenizerFile, keep map[int]bool) error
	rewrite func(f *tokenizerFile, number map[int]int) error
}{
	"WordPiece": {wordPieces, (*tokenizerFile).renumberVocab},
	"WordLevel": {func(*tokenizerFile, map[int]bool) error { return nil }, (*tokenizerFile).renumberVocab},
	"BPE":       {mergedFrom, rewriteBPE},
	"Unigram":   {unigramPieces, rewriteUnigram},
}

func newVocabulary(raw []byte, used map[int]bool) (*Vocabulary, error) {
	f, err := readTokenizer(raw)
	if err != nil {
		return nil, err
	}
	kind, ok := vocabularies[fmt.Sprint(f.model["type"])]
	if !ok {
		return nil, fmt.Errorf("a vocabulary of type %q cannot be pruned (WordPiece, WordLevel, BPE and Unigram can)", f.model["type"])
	}
	keep := map[int]bool{}
	for id := range used {
		if _, ok := f.token[id]; !ok {
			return nil, fmt.Errorf("it has no token of id %d", id)
		}
		keep[id] = true
	}
	f.always(keep)
	if err := kind.closure(f, keep); err != nil {
		return nil, err
	}
	v := &Vocabulary{}
	number := map[int]int{}
	for id := range keep {
		v.Keep = append(v.Keep, id)
	}
	slices.Sort(v.Keep)
	for i, id := range v.Keep {
		number[id] = i
		v.Tokens = append(v.Tokens, f.token[id])
	}
	if err := kind.rewrite(f, number); err != nil {
		return nil, err
	}
	if err := f.renumber(number); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(f.all); err != nil {
		return nil, err
	}
	v.Tokenizer = out.Bytes()
	return v, nil
}

func readTokenizer(raw []byte) (*tokenizerFile, error) {
	f := &tokenizerFile{ids: map[string]int{}, token: map[int]string{}}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // scores are written as they were
	if err := d.Decode(&f.all); err != nil {
		return nil, err
	}
	f.model, _ = f.all["model"].(map[string]any)
	switch vocab := f.model["vocab"].(type) {
	case map[string]any:
		for token, id := range vocab {
			n, err := number(id)
			if err != nil {
				return nil, fmt.Errorf("token %q: %w", token, err)
			}
			f.ids[token], f.token[n] = n, token
		}
	case []any:
		for id, entry := range vocab {
			pair, _ := entry.([]any)
			if len(pair) != 2 {
				return nil, fmt.Errorf("entry %d of the vocabulary is not a piece and its score", id)
			}
			token := fmt.Sprint(pair[0])
			f.ids[token], f.token[id] = id, token
		}
	default:
		return nil, errors.New("the model has no vocabulary")
	}
	for _, a := range f.added() {
		n, err := number(a["id"])
		if err != nil {
			return nil, fmt.Errorf("added token %q: %w", a["content"], err)
		}
		token := fmt.Sprint(a["content"])
		f.ids[token], f.token[n] = n, token
	}
	return f, nil
}

// number is an id in the file.
func number(x any) (int, error) {
	n, ok := x.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is no id", x)
	}
	i, err := n.Int64()
	return int(i), err
}

// added are the entries of added_tokens.
func (f *tokenizerFile) added() []map[string]any {
	list, _ := f.all["added_tokens"].([]any)
	var out []map[string]any
	for _, x := range list {
		if a, ok := x.(map[string]any); ok {
			out = append(out, a)
		}
	}
	return out
}

// always marks what every vocabulary keeps: added tokens, the unknown token, single characters and
// bytes, and the ids up to the padding token's where that is one of the first, since
// architectures count positions from it.
func (f *tokenizerFile) always(keep map[int]bool) {
	const first = 8
	for _, a := range f.added() {
		id := f.ids[fmt.Sprint(a["content"])]
		keep[id] = true
		if content := strings.ToLower(fmt.Sprint(a["content"])); id < first && strings.Contains(content, "pad") {
			for i := range id {
				if _, ok := f.token[i]; ok {
					keep[i] = true
				}
			}
		}
	}
	if unk, ok := f.model["unk_token"].(string); ok {
		if id, ok := f.ids[unk]; ok {
			keep[id] = true
		}
	}
	for token, id := range f.ids {
		if utf8.RuneCountInString(token) == 1 || len(token) == 6 && strings.HasPrefix(token, "<0x") {
			keep[id] = true
		}
	}
}

// wordPieces marks the single characters inside of words.
func wordPieces(f *tokenizerFile, keep map[int]bool) error {
	prefix, _ := f.model["continuing_subword_prefix"].(string)
	for token, id := range f.ids {
		if rest, ok := strings.CutPrefix(token, prefix); ok && utf8.RuneCountInString(rest) == 1 {
			keep[id] = true
		}
	}
	return nil
}

// renumberVocab rewrites a vocabulary that maps tokens to ids.
func (f *tokenizerFile) renumberVocab(number map[int]int) error {
	vocab, ok := f.model["vocab"].(map[string]any)
	if !ok {
		return errors.New("the vocabulary is not a map")
	}
	for token := range vocab {
		if n, ok := number[f.ids[token]]; ok {
			vocab[token] = n
		} else {
			delete(vocab, token)
		}
	}
	return nil
}

// renumber gives ids outside of the model their new numbers: added tokens, what is put around a text, padding.
func (f *tokenizerFile) renumber(new map[int]int) error {
	for _, a := range f.added() {
		a["id"] = new[f.ids[fmt.Sprint(a["content"])]]
	}
	if padding, ok := f.all["padding"].(map[string]any); ok {
		if id, err := number(padding["pad_id"]); err == nil {
			padding["pad_id"] = new[id]
		}
	}
	post, _ := f.all["post_processor"].(map[string]any)
	return renumberPost(post, new)
}

// renumberPost rewrites a post-processor: a template, BERT's or RoBERTa's, or several in sequence.
func renumberPost(post map[string]any, new map[int]int) error {
	for _, key := range []string{"sep", "cls"} {
		if pair, ok := post[key].([]any); ok && len(pair) == 2 {
			id, err := number(pair[1])
			if err != nil {
				return fmt.Errorf("post_processor: %s: %w", key, err)
			}
			pair[1] = new[id]
		}
	}
	special, _ := post["special_tokens"].(map[string]any)
	for name, x := range special {
		entry, _ := x.(map[string]any)
		ids, _ := entry["ids"].([]any)
		for i := range ids {
			id, err := number(ids[i])
			if err != nil {
				return fmt.Errorf("post_processor: %q: %w", name, err)
			}
			ids[i] = new[id]
		}
	}
	list, _ := post["processors"].([]any)
	for _, x := range list {
		if p, ok := x.(map[string]any); ok {
			if err := renumberPost(p, new); err != nil {
				return err
			}
		}
	}
	return nil
}
