package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A wordPiece says how transformers makes a WordPiece tokenizer of one class
// from a vocab.txt.
type wordPiece struct {
	special map[string]string // special token by role, where the configuration is silent
	double  bool              // RoBERTa's way with pairs: two separators, type 0 throughout
	// maskSpace makes the mask token take the spaces before it.
	maskSpace bool
	// other are further tokens that are matched whole, after normalization.
	other []string
}

var (
	bertWordPiece = wordPiece{special: map[string]string{
		"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}}
	mpnetWordPiece = wordPiece{double: true, maskSpace: true, other: []string{"<unk>"}, special: map[string]string{
		"pad": "<pad>", "unk": "[UNK]", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}}
)

// wordPieces are the tokenizer classes that can be made from a vocab.txt. Where
// no class is given, vocab.txt is taken for BERT's.
var wordPieces = map[string]wordPiece{
	"":                    bertWordPiece,
	"TokenizersBackend":   bertWordPiece,
	"BertTokenizer":       bertWordPiece,
	"DistilBertTokenizer": bertWordPiece,
	"ElectraTokenizer":    bertWordPiece,
	"MPNetTokenizer":      mpnetWordPiece,
}

// bertTokenizer makes the tokenizer.json of a checkpoint of the BERT family
// that has only vocab.txt: one token per line, the line number (from 0) its id.
func bertTokenizer(vocab []byte, c config) ([]byte, error) {
	class, ok := wordPieces[strings.TrimSuffix(c.Class, "Fast")]
	if !ok {
		return nil, fmt.Errorf("there is no %s, and tokenizer class %q cannot be made from a vocabulary file: save the fast tokenizer with transformers (save_pretrained)", fileTokenizer, c.Class)
	}
	if vocab == nil {
		return nil, fmt.Errorf("there is neither %s nor %s", fileTokenizer, fileVocab)
	}
	ids := map[string]int32{}
	text := strings.ReplaceAll(string(vocab), "\r\n", "\n")
	for i, token := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		ids[token] = int32(i)
	}
	special := map[string]string{}
	var added []map[string]any
	add := func(token string, stripLeft, normalized bool) {
		added = append(added, map[string]any{"id": ids[token], "content": token, "special": true,
			"single_word": false, "lstrip": stripLeft, "rstrip": false, "normalized": normalized})
	}
	for _, role := range []string{"pad", "unk", "cls", "sep", "mask"} {
		token := c.tokens[role]
		if token == "" {
			token = class.special[role]
		}
		special[role] = token
		_, ok := ids[token]
		if !ok && role != "mask" && role != "pad" {
			return nil, fmt.Errorf("special token %q is not in it", token)
		}
		if ok {
			c.tokens[role] = token
			add(token, role == "mask" && class.maskSpace, false)
		}
	}
	for _, token := range class.other {
		if _, ok := ids[token]; ok {
			add(token, false, true)
		}
	}
	if len(ids) < len(added) {
		return nil, errors.New("it is empty")
	}
	slices.SortFunc(added, func(a, b map[string]any) int { return int(a["id"].(int32) - b["id"].(int32)) })
	return class.file(ids, special, added, c)
}

// file writes the tokenizer.json.
func (w wordPiece) file(ids map[string]int32, special map[string]string, added []map[string]any, c config) ([]byte, error) {
	return json.Marshal(map[string]any{
		"version":      "1.0",
		"added_tokens": added,
		"normalizer": map[string]any{
			"type": "BertNormalizer", "clean_text": true,
			"handle_chinese_chars": c.ChineseChars == nil || *c.ChineseChars,
			"strip_accents":        c.StripAccents,
			"lowercase":            c.LowerCase == nil || *c.LowerCase,
		},
		"pre_tokenizer": map[string]any{"type": "BertPreTokenizer"},
		"post_processor": map[string]any{
			"type": map[bool]string{false: "BertProcessing", true: "RobertaProcessing"}[w.double],
			"sep":  []any{special["sep"], ids[special["sep"]]},
			"cls":  []any{special["cls"], ids[special["cls"]]},
		},
		"decoder": map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model": map[string]any{
			"type": "WordPiece", "unk_token": special["unk"], "continuing_subword_prefix": "##",
			"max_input_chars_per_word": 100, "vocab": ids,
		},
	})
}

// followConfig gives the normalizer of a BERT tokenizer what tokenizer_config.json says of case, accents and Chinese characters: the
// classes that transformers has for it make the normalizer anew, whatever tokenizer.json says.
func (f *file) followConfig(c config) error {
	class := strings.TrimSuffix(c.Class, "Fast")
	if _, ok := wordPieces[class]; !ok || class == "TokenizersBackend" || f.model.Type != "WordPiece" {
		return nil
	}
	var normalizer map[string]any
	if err := json.Unmarshal(f.sections["normalizer"], &normalizer); err != nil || normalizer["type"] != "BertNormalizer" {
		return nil // of another kind, which has no such settings
	}
	for key, says := range map[string]*bool{"lowercase": c.LowerCase, "strip_accents": c.StripAccents, "handle_chinese_chars": c.ChineseChars} {
		if says != nil {
			normalizer[key] = *says
		}
	}
	var err error
	f.sections["normalizer"], err = json.Marshal(normalizer)
	return err
}
