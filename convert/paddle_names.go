package convert

import (
	"regexp"
	"strings"
)

// paddleFamily is an architecture of PaddleNLP that is read.
type paddleFamily struct {
	class  string                     // its classes' names begin so
	name   func(tensor string) string // transformers' name of a tensor
	config func(*paddleModel) error   // what PaddleNLP's class takes where its config is silent or says it otherwise
	pieces string                     // transformers' name of sentencepiece.bpe.model; "": the same
}

// paddleFamilies are by model_type in transformers.
var paddleFamilies = map[string]paddleFamily{
	"bert":        {"Bert", encoderName, (*paddleModel).encoder, ""},
	"ernie":       {"Ernie", encoderName, (*paddleModel).ernie, ""},
	"roberta":     {"Roberta", encoderName, (*paddleModel).encoder, ""},
	"electra":     {"Electra", encoderName, (*paddleModel).encoder, ""},
	"xlm-roberta": {"XLMRoberta", sameName, (*paddleModel).encoder, ""},
	"llama":       {"Llama", decoderName, (*paddleModel).llama, "tokenizer.model"},
	"mistral":     {"Mistral", decoderName, (*paddleModel).decoder, "tokenizer.model"},
	"qwen2":       {"Qwen2", decoderName, (*paddleModel).decoder, ""},
	"qwen3":       {"Qwen3", decoderName, (*paddleModel).decoder, ""},
	"nvembed":     {"NVEncode", latentName, (*paddleModel).nvembed, "tokenizer.model"},
}

// paddleClass is a class of PaddleNLP: the family, and what it is for.
var paddleClass = regexp.MustCompile(`^(\w+?)(Model|For[A-Z]\w*|LMHeadModel|SentenceEmbedding)$`)

func sameName(name string) string { return name }

// paddleModules are the modules of a block of PaddleNLP's encoders (paddle.nn.TransformerEncoderLayer) and
// transformers' names for them.
var paddleModules = map[string]string{
	"self_attn.q_proj": "attention.self.query", "self_attn.k_proj": "attention.self.key", "self_attn.v_proj": "attention.self.value",
	"self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm",
	"linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm",
}

// paddleBlock is a tensor of a block: what stands before, the layer, the module, and what of it.
var paddleBlock = regexp.MustCompile(`^(.*)encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$`)

// encoderName is for encoders of paddle.nn.TransformerEncoder. Names of modules that transformers does not have are as they were.
func encoderName(name string) string {
	if p := paddleBlock.FindStringSubmatch(name); p != nil && paddleModules[p[3]] != "" {
		return p[1] + "encoder.layer." + p[2] + "." + paddleModules[p[3]] + "." + p[4]
	}
	return strings.Replace(name, "embeddings.layer_norm.", "embeddings.LayerNorm.", 1)
}

// decoderPrefix is what PaddleNLP's language models call the model inside them, which transformers calls "model".
var decoderPrefix = regexp.MustCompile(`^(llama|mistral|qwen2|qwen3)\.`)

func decoderName(name string) string { return decoderPrefix.ReplaceAllString(name, "model.") }

// latentBlock is a tensor of the pooling of PaddleNLP's NV-Embed (paddlenlp/transformers/nv_embed): a block, and a module of it with
// underscores in the place of dots.
var latentBlock = regexp.MustCompile(`^latent_model\.cross_attend_blocks_(\d)_(.+)\.(weight|bias)$`)

// latentModules are those modules and NV-Embed's names for them.
var latentModules = map[string]string{
	"fn_to_q": "fn.to_q", "fn_to_kv": "fn.to_kv", "fn_to_out": "fn.to_out", "fn_net_0": "fn.net.0", "fn_net_2": "fn.net.2",
	"norm": "norm", "norm_context": "norm_context",
}

// latents are the latents of PaddleNLP's NV-Embed, the weight of a linear module.
const latents = "latent_model.latents.weight"

// latentName is for NV-Embed, a mistral whose names have no prefix, beside its pooling.
func latentName(name string) string {
	if name == latents {
		return "latent_attention_model.latents"
	}
	if p := latentBlock.FindStringSubmatch(name); p != nil && latentModules[p[2]] != "" {
		return "latent_attention_model.cross_attend_blocks." + p[1] + "." + latentModules[p[2]] + "." + p[3]
	}
	return "embedding_model." + strings.TrimPrefix(name, "mistral.")
}
