package convert

import (
	"regexp"
	"strings"
)

// LoRATargets is the regular expression of the linear modules that LoRA adapts unless told
// otherwise: all of the transformer's blocks, which Dettmers et al. (2023) found to matter more than
// the rank. It is "" where the architecture is not known.
func (m *Model) LoRATargets() string {
	if m.Arch == nil || loraTargets[m.Arch.Name] == nil {
		return ""
	}
	var names []string
	for _, name := range loraTargets[m.Arch.Name] {
		names = append(names, regexp.QuoteMeta(name))
	}
	return `(^|\.)(` + strings.Join(names, "|") + `)$`
}

// loraTargets are the linear modules of each architecture's blocks, by the last parts of their names.
var loraTargets = map[string][]string{
	"bert":        bertTargets,
	"roberta":     bertTargets,
	"xlm-roberta": bertTargets,
	"ernie":       bertTargets,
	"electra":     bertTargets,
	"mpnet":       {"attn.q", "attn.k", "attn.v", "attn.o", "intermediate.dense", "output.dense"},
	"distilbert":  {"q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"},
	"modernbert":  {"Wqkv", "Wo", "Wi"},
	"nomic-bert":  {"Wqkv", "out_proj", "fc11", "fc12", "fc2"},
	"llama":       decoderTargets,
	"mistral":     decoderTargets,
	"qwen2":       decoderTargets,
	"qwen3":       decoderTargets,
	"gemma3-text": decoderTargets,
}

var (
	bertTargets    = []string{"query", "key", "value", "intermediate.dense", "output.dense"} // the pooler's dense is not of a block
	decoderTargets = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
)
