package convert

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// bertTokens are BERT's special tokens by their roles.
var bertTokens = []struct{ role, token string }{
	{"pad", "[PAD]"}, {"unk", "[UNK]"}, {"cls", "[CLS]"}, {"sep", "[SEP]"}, {"mask", "[MASK]"},
}

// wordPiece writes BERT's tokenizer as the Hugging Face libraries read it, from vocab.txt: a token a line, whose
// number from 0 is the token's id. Where there is no vocab.txt it writes nothing.
func (t *translation) wordPiece() error {
	raw, err := os.ReadFile(filepath.Join(t.dir, "vocab.txt"))
	if errors.Is(err, fs.ErrNotExist) || t.has("tokenizer.json") {
		return nil
	}
	if err != nil {
		return err
	}
	ids := map[string]int{}
	for i, token := range strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"), "\n") {
		ids[token] = i
	}
	config := object{}
	if err := readOptional(t.dir, "tokenizer_config.json", &config); err != nil {
		return err
	}
	lower := config["do_lower_case"] != false
	var added []object
	for _, s := range bertTokens {
		id, ok := ids[s.token]
		if !ok {
			return fmt.Errorf("vocab.txt: no token %s", s.token)
		}
		added = append(added, object{"id": id, "content": s.token, "special": true,
			"single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
		config[s.role+"_token"] = s.token
	}
	config["tokenizer_class"], config["do_lower_case"] = "BertTokenizer", lower
	if err := t.replace("tokenizer_config.json", config); err != nil {
		return err
	}
	return t.write("tokenizer.json", object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer":     object{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": nil, "lowercase": lower},
		"pre_tokenizer":  object{"type": "BertPreTokenizer"},
		"post_processor": object{"type": "BertProcessing", "sep": []any{"[SEP]", ids["[SEP]"]}, "cls": []any{"[CLS]", ids["[CLS]"]}},
		"decoder":        object{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model":          object{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": ids},
	})
}
