package convert

import (
	"encoding/json"
	"slices"

	"graft/convert/gguf"
	"graft/convert/tokenizerjson"
)

// unknownToken is the type of the unknown token.
const unknownToken = 2

// ggufPieces reads a SentencePiece BPE tokenizer: Llama 2's kind. As llama.cpp does it, a space stands before each stretch of text between
// special tokens unless the file says otherwise, and a text begins with the begin token unless it says otherwise.
func (t *translation) ggufPieces(f *gguf.File) error {
	v := &ggufVocabulary{file: f}
	v.tokens, _ = gguf.Get[[]string](f, "tokenizer.ggml.tokens")
	pieces := tokenizerjson.Pieces{Texts: v.tokens}
	pieces.Types, _ = gguf.Get[[]int64](f, "tokenizer.ggml.token_type")
	scores, _ := gguf.Get[[]float64](f, "tokenizer.ggml.scores")
	for _, s := range scores {
		pieces.Scores = append(pieces.Scores, float32(s))
	}
	said := func(key string, otherwise bool) bool {
		if value, ok := gguf.Get[bool](f, "tokenizer.ggml."+key); ok {
			return value
		}
		return otherwise
	}
	config := object{"legacy": true, "add_prefix_space": said("add_space_prefix", true),
		"add_bos_token": said("add_bos_token", true), "add_eos_token": said("add_eos_token", false)}
	for key := range ggufSpecial {
		config[key+"_token"] = nil // none, whatever the class has
	}
	v.describe(config)
	unknown, _ := config["unk_token"].(string)
	if i := slices.Index(pieces.Types, unknownToken); unknown == "" && i >= 0 && i < len(v.tokens) {
		unknown = v.tokens[i]
	}
	pieces.Unknown = unknown
	made, err := tokenizerjson.FromPieces(pieces, config)
	if err != nil {
		return err
	}
	if err := t.write("tokenizer.json", json.RawMessage(made.JSON)); err != nil {
		return err
	}
	return t.write("tokenizer_config.json", json.RawMessage(made.Config))
}
