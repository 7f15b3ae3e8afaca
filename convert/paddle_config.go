package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

const (
	paddleConfigFile = "model_config.json" // of PaddleNLP's models before version 2.5; later ones have a config.json
	paddleVersion    = "paddlenlp_version" // in every config.json that PaddleNLP writes
	paddleEpsilon    = 1e-12               // layer_norm_eps of PaddleNLP's encoders where the config has none
)

// readConfig reads the config and makes of it what transformers would have written.
func (p *paddleModel) readConfig(dir string) error {
	class, err := p.readConfigFile(dir)
	if err != nil {
		return err
	}
	kind, _ := p.config["model_type"].(string)
	if p.from.tensors[latents] != nil {
		kind = "nvembed" // whose config is its mistral's
	}
	if parts := paddleClass.FindStringSubmatch(class); kind == "" && parts != nil {
		for modelType, f := range paddleFamilies {
			if f.class == parts[1] {
				kind = modelType
			}
		}
	}
	var known bool
	if p.family, known = paddleFamilies[kind]; !known {
		return fmt.Errorf("neither model_type (%q) nor the class (%q) of the config is of an architecture whose layout in Paddle is known; known: %s",
			kind, class, sortedKeys(paddleFamilies))
	}
	p.config["model_type"] = kind
	if err := p.family.config(p); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	for _, key := range []string{paddleVersion, "fuse_attention_qkv", "fuse_attention_ffn", "rope_scaling_type", "rope_scaling_factor"} {
		delete(p.config, key) // none is true of what is read here
	}
	return nil
}

// readConfigFile reads config.json or model_config.json; class is what the model, of the latter the innermost, is of.
func (p *paddleModel) readConfigFile(dir string) (class string, err error) {
	err = readJSON(dir, "config.json", &p.config)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		if list, _ := p.config["architectures"].([]any); len(list) > 0 {
			class, _ = list[0].(string)
		}
		return class, err
	}
	var file map[string]any
	if err := readJSON(dir, paddleConfigFile, &file); err != nil {
		return "", fmt.Errorf("neither config.json nor %s: %w", paddleConfigFile, err)
	}
	config := file
	// A task's model is called with the model that it wraps: init_args[0], with arguments of its own.
	for range 4 {
		if name, ok := config["init_class"].(string); ok {
			class = name
		}
		args, _ := config["init_args"].([]any)
		if len(args) == 0 {
			break
		}
		inner, ok := args[0].(map[string]any)
		if !ok {
			break
		}
		config = inner
	}
	if name, ok := config["init_class"].(string); ok {
		class = name
	}
	if config["hidden_size"] == nil {
		raw, _ := json.Marshal(config)
		return "", fmt.Errorf("%s: no sizes of a model in %s", paddleConfigFile, raw)
	}
	delete(config, "init_class")
	delete(config, "init_args")
	p.config = config
	return class, nil
}

// number is a whole number of the config, 0 where there is none.
func (p *paddleModel) number(key string) int64 {
	switch n := p.config[key].(type) {
	case float64:
		return int64(n)
	case int64:
		return n
	}
	return 0
}

// orElse sets a key that the config lacks.
func (p *paddleModel) orElse(key string, value any) {
	if p.config[key] == nil {
		p.config[key] = value
	}
}

// encoderSizes are sizes of an encoder that are also those of a tensor, by the end of its name.
var encoderSizes = map[string]string{
	"embeddings.word_embeddings.weight": "vocab_size", "embeddings.position_embeddings.weight": "max_position_embeddings",
	"embeddings.token_type_embeddings.weight": "type_vocab_size", "embeddings.task_type_embeddings.weight": "task_type_vocab_size",
	"encoder.layers.0.linear1.bias": "intermediate_size",
}

// encoder adds what the classes take by default. Sizes they take from the tensors.
func (p *paddleModel) encoder() error {
	p.orElse("layer_norm_eps", paddleEpsilon)
	p.orElse("hidden_act", "gelu")
	for name, t := range p.from.tensors {
		for end, key := range encoderSizes {
			if strings.HasSuffix(name, end) && len(t.Shape) > 0 {
				p.orElse(key, t.Shape[0])
			}
		}
	}
	return nil
}

// ernie is an encoder whose class gives all its norms one epsilon, whatever the config says. The config may name the task type of
// texts that name none, which transformers' has no word for.
func (p *paddleModel) ernie() error {
	if task := p.number("task_id"); task != 0 && p.config["use_task_id"] == true {
		return fmt.Errorf("task_id is %d, which is not supported", task)
	}
	p.config["layer_norm_eps"] = paddleEpsilon
	return p.encoder()
}

// decoder refuses what transformers' config has no word for.
func (p *paddleModel) decoder() error {
	for _, key := range []string{"alibi", "use_long_sequence_strategies", "rope_scaling_type"} {
		if isSet(p.config[key]) {
			return fmt.Errorf("%s is %v, which is not supported", key, p.config[key])
		}
	}
	return nil
}

// llama says longer rotary positions as transformers does (LlamaAttention._init_rope).
func (p *paddleModel) llama() error {
	kind, _ := p.config["rope_scaling_type"].(string)
	factor, _ := p.config["rope_scaling_factor"].(float64)
	switch kind {
	case "linear":
		p.orElse("rope_scaling", map[string]any{"rope_type": "linear", "factor": factor})
	case "dynamic_ntk":
		p.orElse("rope_scaling", map[string]any{"rope_type": "dynamic", "factor": factor})
	case "ntk":
		dim := float64(p.number("hidden_size")) / float64(max(1, p.number("num_attention_heads")))
		theta, ok := p.config["rope_theta"].(float64)
		if !ok {
			theta = 10000
		}
		p.config["rope_theta"] = theta * math.Pow(factor, dim/(dim-2))
	default:
		return p.decoder()
	}
	delete(p.config, "rope_scaling_type")
	return p.decoder()
}

// nvembed is the config of NV-Embed's published code around that of its mistral. PaddleNLP's class has the sizes of the published model: the
// latents' heads are those of mistral's keys.
func (p *paddleModel) nvembed() error {
	kv := p.from.tensors["latent_model.cross_attend_blocks_0_fn_to_kv.weight"]
	n, heads := p.from.tensors[latents].Shape, p.number("num_key_value_heads")
	if kv == nil || len(kv.Shape) != 2 || len(n) != 2 || heads < 1 || kv.Shape[1]%(2*heads) != 0 {
		return fmt.Errorf("the latents are %v and their keys and values of %d heads are not those of a model of NV-Embed", n, heads)
	}
	text := p.config
	text["model_type"], text["architectures"] = "bidir_mistral", []string{"BidirectionalMistralModel"}
	p.config = map[string]any{
		"model_type": "nvembed", "architectures": []string{"NVEmbedModel"}, "hidden_size": text["hidden_size"], "text_config": text,
		"is_mask_instruction": true, "add_eos": true, "mask_type": "b", "padding_side": "right",
		"latent_attention_config": map[string]any{
			"model_type": "latent_attention", "num_latents_value": n[1], "num_cross_heads": heads, "cross_dim_head": kv.Shape[1] / (2 * heads),
			"latent_dim": n[0], "hidden_dim": n[0], "output_normalize": true,
		},
	}
	for _, key := range []string{"dtype", "torch_dtype"} {
		if text[key] != nil {
			p.config[key] = text[key]
		}
	}
	delete(text, paddleVersion)
	return nil
}
