package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
)

// bertClasses are the classes that have BERT's normalizer.
var bertClasses = []string{"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MPNetTokenizer"}

// followConfig gives the normalizer of a BERT tokenizer what tokenizer_config.json says of case, accents and Chinese characters: the
// classes that transformers has for it make the normalizer anew, whatever tokenizer.json says.
func (f *file) followConfig(c config) error {
	if !slices.Contains(bertClasses, strings.TrimSuffix(c.Class, "Fast")) && c.Class != "" || f.model.Type != "WordPiece" {
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
