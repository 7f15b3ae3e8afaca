package convert

import (
	"errors"
	"fmt"
	"regexp"

	"graft/convert/gguf"
)

func findGGUF(path string) (string, error) { return oneFile(path, ".gguf") }

// ggufArch is an architecture of llama.cpp that is read.
type ggufArch struct {
	modelType   string // model_type in config.json
	class       string // of transformers
	interleaved bool   // rows of query and key stand in the order of llama.cpp's rotary positions
}

// ggufArchs are by general.architecture. llama.cpp's converter interleaves the two halves of each head of llama
// (LlamaModel.permute), whose rotation there is of neighbouring features; it rotates the others as transformers does.
var ggufArchs = map[string]ggufArch{
	"llama": {"llama", "LlamaForCausalLM", true},
	"qwen2": {"qwen2", "Qwen2ForCausalLM", false},
	"qwen3": {"qwen3", "Qwen3ForCausalLM", false},
}

// ggufPoolings are by <architecture>.pooling_type (llama_pooling_type).
var ggufPoolings = map[uint64]string{1: "mean", 2: "cls", 3: "last"}

// readGGUF reads a file of llama.cpp: its metadata become config.json and the tokenizer's files.
func (t *translation) readGGUF(path string) error {
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	t.source = newSource("gguf", f)
	name, _ := gguf.Get[string](f, "general.architecture")
	arch, ok := ggufArchs[name]
	if !ok {
		return fmt.Errorf("architecture %q is not known; known: %s", name, sortedKeys(ggufArchs))
	}
	if parts, _ := f.Uint("split.count"); parts > 1 {
		return fmt.Errorf("it is one of %d parts; join them with llama-gguf-split --merge", parts)
	}
	meta := ggufMeta{f, name}
	if kind, ok := f.Uint(name + ".pooling_type"); ok {
		t.pooling = ggufPoolings[kind]
	}
	config, err := meta.config(arch)
	if err != nil {
		return err
	}
	if err := t.addGGUF(meta, arch); err != nil {
		return err
	}
	return errors.Join(t.write("config.json", config), t.ggufTokenizer(f))
}

// ggufNames are the modules of llama.cpp and transformers' names for them (gguf-py, tensor_mapping.py).
var ggufNames = map[string]string{
	"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
	"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
	"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
	"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
	"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}

// ggufTensor is a tensor's name: the block that it is in, the module, and what of it.
var ggufTensor = regexp.MustCompile(`^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$`)

// hfName is the name in transformers of a tensor of llama.cpp, and the module in llama.cpp.
func hfName(name string) (hf, module string) {
	parts := ggufTensor.FindStringSubmatch(name)
	if parts == nil || ggufNames[parts[2]] == "" {
		return name, ""
	}
	hf = ggufNames[parts[2]] + "." + parts[3]
	if parts[1] != "" {
		hf = "model.layers." + parts[1] + "." + hf
	}
	return hf, parts[2]
}

// addGGUF lists the file's tensors under transformers' names and in its order of rows.
func (t *translation) addGGUF(meta ggufMeta, arch ggufArch) error {
	for _, x := range meta.Tensors {
		name, module := hfName(x.Name)
		if x.Name == ropeTable {
			continue // config.json says it
		}
		heads := meta.heads()[module]
		if arch.interleaved && heads > 0 {
			var err error
			if x, err = deinterleave(x, heads); err != nil {
				return err
			}
		}
		if err := t.source.add(name, x.DType, x.Shape, x); err != nil {
			return err
		}
	}
	return nil
}

// deinterleave undoes LlamaModel.permute: rows 2j and 2j+1 of a head go to j of its first and of its second half.
func deinterleave(x *gguf.Tensor, heads int64) (*gguf.Tensor, error) {
	size := x.Shape[0] / heads
	if size*heads != x.Shape[0] || size%2 != 0 {
		return nil, fmt.Errorf("tensor %q: %d rows are not those of %d heads", x.Name, x.Shape[0], heads)
	}
	return x.Reordered(func(row int64) int64 {
		head, at := row/size, row%size
		return head*size + at%(size/2)*2 + at/(size/2)
	})
}
