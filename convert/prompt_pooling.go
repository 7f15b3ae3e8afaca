package convert

import "graft/graph"

// PromptPooling says which tokens of a text the pooling leaves out where a prompt stands before it.
// A model that leaves out any has one more input, pooling_mask: int64 [batch, sequence], 1 at the
// tokens that are pooled.
type PromptPooling string

const (
	PromptPooled PromptPooling = ""       // none is left out, and there is no such input
	PromptOut    PromptPooling = "prompt" // the prompt and the special tokens before it: include_prompt false of sentence-transformers
	// PromptLength: as many tokens from the first on as the prompt has by itself. NV-Embed's code
	// counts so; it leaves the begin token out of the count, and so the prompt's last token in the mean.
	PromptLength PromptPooling = "prompt_length"
)

const poolingMask = "pooling_mask"

// selfPooling is a config that says how its model pools, so that no modules.json need do it.
type selfPooling interface {
	pooled() (pooling string, normalize bool, prompt PromptPooling)
}

// settlePooling takes the pooling from the config where it says one. With a modules.json, the mean
// that stands there for sentence-transformers is that of what the model's own head makes of the tokens,
// unless PlainMean says that the head is left out.
func (m *Model) settlePooling(c Config, o OpenOptions) error {
	own, ok := c.(selfPooling)
	if !ok {
		return nil
	}
	name, normalize, prompt := own.pooled()
	mod := &m.Modules
	if o.Pooling != "" {
		mod.PlainMean = mod.PoolingName() == "mean"
		return nil
	}
	if mod.Found && (mod.PlainMean || mod.PoolingName() != "mean") {
		return nil
	}
	mode, err := poolingMode(name)
	if err != nil {
		return err
	}
	if !mod.Found {
		mod.PromptPooling = prompt
		if o.Normalize == nil {
			mod.Normalize = normalize
		}
	}
	mod.Pooling, mod.Found = []PoolingMode{mode}, true
	return nil
}

// poolingMask is what the pooling counts as tokens: the attention mask, without what the input
// pooling_mask leaves out where the modules ask for one.
func (m *Modules) poolingMask(b *graph.Builder, g *graph.Graph, attention *graph.Value) *graph.Value {
	in := find(g.Inputs, poolingMask)
	if in == nil && m.PromptPooling == PromptPooled {
		return attention
	}
	if in == nil {
		in = graph.NewValue(poolingMask, graph.TensorType(graph.Int64, graph.Symbol("batch"), graph.Symbol("sequence")))
		g.Inputs = append(g.Inputs, in)
	}
	return b.Mul(attention, in)
}

// includePrompt is the value of include_prompt in a Pooling module's config.json.
func (m *Modules) includePrompt() bool { return m.PromptPooling == PromptPooled }
