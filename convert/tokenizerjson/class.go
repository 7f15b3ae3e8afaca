package tokenizerjson

// class says how the library makes the fast tokenizer of one class of slow ones.
type class struct {
	vocabulary string             // the file that it must have
	model      func(*maker) error // model, normalizer, pre-tokenizer and decoder
	template   func(*maker) (any, error)
	special    map[string]string     // special tokens by role, where the configuration is silent
	wrapped    map[string]addedToken // how tokens of these roles are matched where the configuration gives a mere text
	additional []string              // additional_special_tokens, where the configuration is silent
	beyond     []string              // roles of tokens that have a row of the embedding table though the vocabulary lacks them
	left       bool                  // pads on the left
	types      bool                  // takes token types
}

// vocabularies are the files that hold a vocabulary.
var vocabularies = []string{vocabText, vocabJSON, "tokenizer.model", "sentencepiece.bpe.model", "spiece.model", "spm.model"}

const (
	vocabText  = "vocab.txt"
	vocabJSON  = "vocab.json"
	mergesText = "merges.txt"
)

// How special tokens are matched: as they stand, after normalization, or with the spaces before them.
var (
	plain      = addedToken{Special: true}
	normalized = addedToken{Special: true, Normalized: true}
	spaced     = addedToken{Special: true, LStrip: true}
)

func all(t addedToken, roles ...string) map[string]addedToken {
	m := map[string]addedToken{}
	for _, role := range roles {
		m[role] = t
	}
	return m
}

func with(m map[string]addedToken, role string, t addedToken) map[string]addedToken {
	m[role] = t
	return m
}

var (
	bert = class{vocabulary: vocabText, model: (*maker).wordPiece, template: (*maker).clsAndSep, types: true, special: map[string]string{
		"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}}
	fairseq = map[string]string{"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>"}
)

// classes are the tokenizer classes that are made.
var classes = map[string]class{
	"BertTokenizer":       bert,
	"ErnieTokenizer":      bert, // PaddleNLP's
	"ElectraTokenizer":    bert,
	"DistilBertTokenizer": {vocabulary: vocabText, model: (*maker).wordPiece, template: (*maker).clsAndSep, special: bert.special},
	"MPNetTokenizer": {vocabulary: vocabText, model: (*maker).wordPiece, template: (*maker).clsAndTwoSeps,
		special: map[string]string{"bos": "<s>", "eos": "</s>", "unk": "[UNK]", "sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>"},
		wrapped: with(all(plain, "bos", "eos", "unk", "sep", "pad", "cls"), "mask", spaced)},
	"RobertaTokenizer": {vocabulary: vocabJSON, model: (*maker).byteLevel, template: (*maker).robertaProcessing, special: fairseq,
		wrapped: with(all(normalized, "bos", "eos", "unk", "sep", "pad", "cls"), "mask", spaced)},
	"GPT2Tokenizer": {vocabulary: vocabJSON, model: (*maker).byteLevel, template: (*maker).gpt2Template,
		special: map[string]string{"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>"},
		wrapped: all(normalized, "bos", "eos", "unk", "pad")},
	"Qwen2Tokenizer": {vocabulary: vocabJSON, model: (*maker).qwen2, template: (*maker).byteLevelTemplate,
		special: map[string]string{"eos": "<|endoftext|>", "unk": "<|endoftext|>", "pad": "<|endoftext|>"},
		wrapped: all(plain, "bos", "eos", "unk", "pad")},
	"LlamaTokenizer": {vocabulary: "tokenizer.model", model: (*maker).llama, template: (*maker).bosAndEos, left: true,
		special: map[string]string{"bos": "<s>", "eos": "</s>", "unk": "<unk>"}, wrapped: all(plain, "bos", "eos", "unk", "pad")},
	"GemmaTokenizer": {vocabulary: "tokenizer.model", model: (*maker).gemma, template: (*maker).bosAndEos, left: true,
		special: map[string]string{"bos": "<bos>", "eos": "<eos>", "unk": "<unk>", "pad": "<pad>"}, wrapped: all(plain, "bos", "eos", "unk", "pad")},
	"XLMRobertaTokenizer": {vocabulary: "sentencepiece.bpe.model", model: (*maker).xlmRoberta, template: (*maker).fairseqTemplate,
		special: fairseq, wrapped: all(spaced, "mask")},
	"CamembertTokenizer": {vocabulary: "sentencepiece.bpe.model", model: (*maker).camembert, template: (*maker).fairseqTemplate,
		special: fairseq, wrapped: all(spaced, "mask"), additional: []string{"<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"}},
	"T5Tokenizer": {vocabulary: "spiece.model", model: (*maker).t5, template: (*maker).t5Template,
		special: map[string]string{"eos": "</s>", "unk": "<unk>", "pad": "<pad>"}, wrapped: all(plain, "eos", "unk", "pad")},
	"AlbertTokenizer": {vocabulary: "spiece.model", model: (*maker).albert, template: (*maker).albertTemplate, types: true,
		special: map[string]string{"bos": "[CLS]", "eos": "[SEP]", "unk": "<unk>", "sep": "[SEP]", "pad": "<pad>", "cls": "[CLS]", "mask": "[MASK]"},
		wrapped: all(spaced, "mask")},
	"DebertaV2Tokenizer": {vocabulary: "spm.model", model: (*maker).debertaV2, template: (*maker).albertTemplate, types: true,
		special: map[string]string{"bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"},
		wrapped: all(normalized, "unk"), beyond: []string{"mask"}},
}

// modelClasses are the classes by model_type of config.json, for checkpoints that name none.
var modelClasses = map[string]string{
	"bert": "BertTokenizer", "distilbert": "DistilBertTokenizer", "electra": "ElectraTokenizer", "ernie": "BertTokenizer",
	"nomic_bert": "BertTokenizer", "mpnet": "MPNetTokenizer", "roberta": "RobertaTokenizer", "xlm-roberta": "XLMRobertaTokenizer",
	"camembert": "CamembertTokenizer", "llama": "LlamaTokenizer", "mistral": "LlamaTokenizer", "gemma2": "GemmaTokenizer",
	"gemma3_text": "GemmaTokenizer", "gemma": "GemmaTokenizer", "phi3": "LlamaTokenizer", "t5": "T5Tokenizer", "albert": "AlbertTokenizer",
	"deberta-v2": "DebertaV2Tokenizer", "qwen2": "Qwen2Tokenizer", "qwen3": "Qwen2Tokenizer",
}
