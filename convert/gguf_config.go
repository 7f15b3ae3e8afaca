package convert

import (
	"fmt"

	"graft/convert/gguf"
)

// ggufMeta is a file of llama.cpp whose keys are asked for without the architecture before them.
type ggufMeta struct {
	*gguf.File
	arch string
}

func (m ggufMeta) uint(key string) int64 {
	v, _ := m.Uint(m.arch + "." + key)
	return int64(min(v, 1<<62))
}

func (m ggufMeta) float(key string) float64 {
	v, _ := gguf.Get[float64](m.File, m.arch+"."+key)
	return v
}

// heads are the heads whose rows the modules of query and key hold.
func (m ggufMeta) heads() map[string]int64 {
	q := m.uint("attention.head_count")
	kv := m.uint("attention.head_count_kv")
	if kv == 0 {
		kv = q
	}
	return map[string]int64{"attn_q": q, "attn_k": kv}
}

// required are the metadata of a transformer that have no default.
var ggufRequired = []string{"block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count"}

// config is config.json as transformers would have written it.
func (m ggufMeta) config(arch ggufArch) (map[string]any, error) {
	for _, key := range ggufRequired {
		if m.uint(key) < 1 {
			return nil, fmt.Errorf("metadata: key %q is %v, want a number above 0", m.arch+"."+key, m.Value(m.arch+"."+key))
		}
	}
	shapes := map[string][]int64{}
	for _, t := range m.Tensors {
		shapes[t.Name] = t.Shape
	}
	embeddings := shapes["token_embd.weight"]
	if len(embeddings) != 2 {
		return nil, fmt.Errorf(`tensor "token_embd.weight" has the shape %v, want [vocabulary %d]`, embeddings, m.uint("embedding_length"))
	}
	heads := m.heads()
	headDim := m.uint("attention.key_length")
	if headDim == 0 {
		headDim = m.uint("embedding_length") / heads["attn_q"]
	}
	if turned := m.uint("rope.dimension_count"); turned != 0 && turned != headDim {
		return nil, fmt.Errorf("metadata: %d of a head's %d features turn with the position, which %s does not have", turned, headDim, m.arch)
	}
	config := map[string]any{
		"model_type": arch.modelType, "architectures": []string{arch.class}, "torch_dtype": "float32", "hidden_act": "silu",
		"vocab_size": embeddings[0], "hidden_size": m.uint("embedding_length"), "intermediate_size": m.uint("feed_forward_length"),
		"num_hidden_layers": m.uint("block_count"), "num_attention_heads": heads["attn_q"], "num_key_value_heads": heads["attn_k"],
		"head_dim": headDim, "max_position_embeddings": m.uint("context_length"),
		"rms_norm_eps": orElse(float64(float32(m.float("attention.layer_norm_rms_epsilon"))), 1e-6),
		"rope_theta":   orElse(m.float("rope.freq_base"), 10000), "tie_word_embeddings": shapes["output.weight"] == nil,
		"attention_bias": shapes["blk.0.attn_q.bias"] != nil, "mlp_bias": shapes["blk.0.ffn_up.bias"] != nil,
	}
	for key, name := range ggufSpecial {
		if id, ok := m.Uint("tokenizer.ggml." + name + "_token_id"); ok {
			config[key+"_token_id"] = id
		}
	}
	scaling, err := m.scaling()
	if err == nil && scaling == nil {
		scaling, err = m.tableScaling(config["rope_theta"].(float64), uint64(headDim))
	}
	if scaling != nil {
		config["rope_scaling"] = scaling
	}
	return config, err
}

// scaling is rope_scaling in config.json, nil where positions are not scaled.
func (m ggufMeta) scaling() (map[string]any, error) {
	kind, _ := gguf.Get[string](m.File, m.arch+".rope.scaling.type")
	factor := m.float("rope.scaling.factor")
	switch kind {
	case "", "none":
		return nil, nil
	case "linear":
		return map[string]any{"rope_type": "linear", "factor": factor}, nil
	case "yarn":
		scaling := map[string]any{"rope_type": "yarn", "factor": factor}
		if n := m.uint("rope.scaling.original_context_length"); n > 0 {
			scaling["original_max_position_embeddings"] = n
		}
		return scaling, nil
	}
	return nil, fmt.Errorf("metadata: %s.rope.scaling.type %q is not known; known: none, linear, yarn", m.arch, kind)
}
