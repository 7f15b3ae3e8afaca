package convert

import (
	"fmt"

	"graft/graph"
)

// nvembed is NV-Embed (Lee et al. 2025): a mistral without causal order and window, whose tokens
// attend to learned latents before their mean is taken. The prompt's tokens are left out of the mean.
var nvembed = &Arch{
	Name:       "nvembed",
	Doc:        "mistral that looks both ways, with a pooling that attends to learned latents (Lee et al. 2025)",
	ModelTypes: []string{"nvembed"},
	Anchor:     "embed_tokens.weight",
	Config:     func() Config { return newNVEmbedConfig() },
	Forward:    forward(nvembedForward),
	Latent: func(b *graph.Builder, config Config, hidden *graph.Value) *graph.Value {
		return latentAttention(b, config.(*nvembedConfig), hidden)
	},
}

type nvembedConfig struct {
	Text            *mistralConfig `json:"text_config"`
	Latent          latentConfig   `json:"latent_attention_config"`
	MaskInstruction bool           `json:"is_mask_instruction"`
}

// latentConfig is the attention of tokens to latents, under the names of the published code.
type latentConfig struct {
	Latents   int  `json:"num_latents_value"`
	Heads     int  `json:"num_cross_heads"`
	HeadDim   int  `json:"cross_dim_head"`
	Width     int  `json:"latent_dim"` // of a latent, and of a token
	Context   int  `json:"hidden_dim"` // of a latent as key and value
	Normalize bool `json:"output_normalize"`
}

func newNVEmbedConfig() *nvembedConfig {
	return &nvembedConfig{Text: newMistralConfig(), MaskInstruction: true,
		Latent: latentConfig{Latents: 512, Heads: 8, HeadDim: 4096, Width: 4096, Context: 4096, Normalize: true}}
}

func (c *nvembedConfig) Sizes() Sizes { return c.Text.Sizes() }

// pooled says that the model pools by its latents, and how its published code leaves the prompt out.
func (c *nvembedConfig) pooled() (pooling string, normalize bool, prompt PromptPooling) {
	if c.MaskInstruction {
		prompt = PromptLength
	}
	return latentPooling, c.Latent.Normalize, prompt
}

func nvembedForward(b *graph.Builder, c *nvembedConfig, in Inputs) Outputs {
	in.Bidirectional = true
	return mistralForward(b, c.Text, in)
}

// latentAttention is what tokens make of the latents: attention of each token to all of them,
// then a GEGLU network (Shazeer 2020), each with the norm before and the residual sum behind it.
// hidden and the result: [batch, sequence, features]; b is the checkpoint's root.
//
// The latents are the same for all texts, so the texts' tokens stand as one long row of queries
// before them and keys and values are computed once, not once per text.
func latentAttention(b *graph.Builder, c *nvembedConfig, hidden *graph.Value) *graph.Value {
	const eps, expansion = 1e-5, 4 // of torch.nn.LayerNorm and of the published code
	l, n := c.Latent, c.Text.Hidden
	if l.Width != n || l.Context != n || l.Heads < 1 || l.HeadDim < 1 || l.Heads > 1<<20/l.HeadDim {
		b.Errorf("%w", fmt.Errorf("config.json: latent attention of %d heads of %d features, over %d and %d features, behind %d of a token",
			l.Heads, l.HeadDim, l.Width, l.Context, n))
		return hidden
	}
	inner := l.Heads * l.HeadDim
	root := b.Scope("latent_attention_model")
	a := root.Scope("cross_attend_blocks.0")
	latents := a.LayerNorm("norm_context", a.Unsqueeze(root.Weight("latents", l.Latents, n), 0), n, eps) // [1, latents, features]
	kv := a.OpN("", "Split", 2, []*graph.Value{a.LinearNoBias("fn.to_kv", latents, n, 2*inner)}, graph.IntAttr("axis", -1), graph.IntAttr("num_outputs", 2))
	q := a.LinearNoBias("fn.to_q", a.LayerNorm("norm", hidden, n, eps), n, inner)
	y := a.Attention(a.Reshape(q, 1, -1, int64(inner)), kv[0], kv[1], graph.AttentionOptions{Heads: l.Heads})
	y = a.LinearNoBias("fn.to_out", y, inner, n) // [1, batch·sequence, features]
	x := a.Add(a.Op("Reshape", []*graph.Value{y, a.Op("Shape", []*graph.Value{hidden})}), hidden)

	f := root.Scope("cross_attend_blocks.1")
	h := f.Linear("fn.net.0", f.LayerNorm("norm", x, n, eps), n, 2*expansion*n)
	gated := f.OpN("", "Split", 2, []*graph.Value{h}, graph.IntAttr("axis", -1), graph.IntAttr("num_outputs", 2))
	h = f.Linear("fn.net.2", f.Mul(gated[0], f.Activation("gelu", gated[1])), expansion*n, n)
	return f.Add(h, x)
}
