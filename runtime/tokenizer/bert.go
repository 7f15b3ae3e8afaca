package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// bertClasses are the tokenizer classes that are WordPiece over a vocab.txt
// with BERT's special tokens. Where the class is not given, vocab.txt is taken
// for one of them.
var bertClasses = []string{
	"", "TokenizersBackend", "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast",
	"ElectraTokenizer", "ElectraTokenizerFast", "PreTrainedTokenizerFast",
}

// bertSpecial are the special tokens where the configuration is silent.
var bertSpecial = map[string]string{"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}

// bertTokenizer makes the tokenizer.json of a BERT checkpoint that has only
// vocab.txt: one token per line, the line number (from 0) its id.
func bertTokenizer(vocab []byte, c config) ([]byte, error) {
	if !slices.Contains(bertClasses, c.Class) {
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
	for _, role := range []string{"pad", "unk", "cls", "sep", "mask"} {
		token := c.tokens[role]
		if token == "" {
			token = bertSpecial[role]
		}
		special[role] = token
		id, ok := ids[token]
		if !ok && role != "mask" && role != "pad" {
			return nil, fmt.Errorf("special token %q is not in it", token)
		}
		if ok {
			c.tokens[role] = token
			added = append(added, map[string]any{"id": id, "content": token, "special": true,
				"single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
		}
	}
	if len(ids) < len(added) {
		return nil, errors.New("it is empty")
	}
	slices.SortFunc(added, func(a, b map[string]any) int { return int(a["id"].(int32) - b["id"].(int32)) })
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
			"type": "BertProcessing",
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
