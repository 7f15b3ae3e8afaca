package runtime

import (
	"context"
	"fmt"
	"strings"

	"graft/runtime/tokenizer"
)

// poolingMask is the input of models that leave a prompt's tokens out of the pooling: 1 at the
// tokens that are pooled, 0 at the prompt's and at padding.
const poolingMask = "pooling_mask"

// promptCounts are the ways to count the tokens, from a text's first on, that are left out for a
// prompt, by the name under which a model records its own: begin special tokens stand before the
// prompt, and prompt are its own.
var promptCounts = map[string]func(begin, prompt int) int{
	"":              func(int, int) int { return 0 },
	"prompt":        func(begin, prompt int) int { return begin + prompt }, // sentence-transformers, include_prompt false
	"prompt_length": func(_, prompt int) int { return prompt },             // NV-Embed's code
}

// tokenize gives the tokens of texts with the prompt and the suffix around them, cut to the limit.
// Those of the prompt that the model does not pool are marked.
func (e *Encoder) tokenize(ctx context.Context, texts []string, o EncodeOptions) ([]tokenizer.Encoding, error) {
	rows, err := e.tokens(ctx, texts, o)
	if err != nil {
		return nil, err
	}
	n, err := e.model.Unpooled(o.Prompt)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].Unpooled = n
	}
	return rows, nil
}

// Unpooled is how many tokens, from a text's first on, the pooling leaves out for a prompt. The
// prompt is tokenized by itself for it, as the models' own code does.
func (m *Model) Unpooled(prompt string) (int, error) {
	count, ok := promptCounts[m.PromptPooling]
	if !ok {
		return 0, fmt.Errorf("the model leaves the prompt out of the pooling as %q, which is not known (known: %s)", m.PromptPooling, names(promptCounts))
	}
	if prompt == "" || m.PromptPooling == "" {
		return 0, nil
	}
	if m.LowerCase {
		prompt = strings.ToLower(prompt)
	}
	e, err := m.Tokenizer.Encode(prompt, tokenizer.EncodeOptions{})
	if err != nil {
		return 0, err
	}
	begin, own := 0, 0
	for _, special := range e.Special {
		switch {
		case special == 0:
			own++
		case own == 0:
			begin++
		}
	}
	return count(begin, own), nil
}
