package convert

import (
	"fmt"
	"slices"
	"strings"

	"graft/graph"
)

// Arch is a transformer architecture: how to read its config.json and how to write it as a graph.
type Arch struct {
	Name       string
	Doc        string   // one line: what it is and where it comes from
	ModelTypes []string // model_type in config.json
	// Code has, by model_type, the position_embedding_type of checkpoints that are of this architecture though their
	// model_type is another's: published code that began as another class kept its name.
	Code   map[string]string
	Anchor string // a tensor that every checkpoint has; what stands before it is the checkpoint's prefix

	Config  func() Config // the defaults of the library's config class, to be read over by config.json
	Forward func(b *graph.Builder, config Config, in Inputs) Outputs
	// Latent makes of the transformer's token vectors those that the pooling "latent" takes the mean
	// of: [batch, sequence, hidden] both. b is the checkpoint's root. nil: the architecture has no such pooling.
	Latent func(b *graph.Builder, config Config, hidden *graph.Value) *graph.Value
}

// archs are all architectures. Each has a folder of the same name in testdata/models, with the
// values that the reference library computes.
var archs = []*Arch{
	bert, roberta, xlmRoberta, mpnet, distilbert, ernie, electra, albert, debertaV2, modernbert, eurobert, nomicBert, jinaBert, jinaV3, gte, t5,
	llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3, phi3, olmo2, granite, smollm3, nvembed,
}

// Archs lists the known architectures.
func Archs() []*Arch { return slices.Clone(archs) }

// Config is an architecture's part of config.json.
type Config interface {
	Sizes() Sizes
}

// Sizes are the figures of a config that do not depend on the architecture.
type Sizes struct {
	Hidden    int // features of a token
	Layers    int
	Heads     int
	HeadDim   int // features of a head
	Vocab     int // rows of the embedding table
	Positions int // longest sequence in tokens, special ones included
	Types     int // token types that token_type_ids may name; 0 or 1: the input is not there
}

// check refuses sizes that no graph can be made of; tensors is how many the checkpoint holds,
// which bounds the layers of a config that claims too many.
func (s Sizes) check(tensors int) error {
	for _, f := range []struct {
		name string
		n    int
	}{
		{"hidden size", s.Hidden}, {"number of layers", s.Layers}, {"number of attention heads", s.Heads},
		{"vocabulary size", s.Vocab}, {"number of positions", s.Positions},
	} {
		if f.n < 1 || f.n > 1<<30 {
			return fmt.Errorf("%s is %d", f.name, f.n)
		}
	}
	if s.HeadDim < 1 {
		return fmt.Errorf("hidden size %d is not a multiple of %d attention heads", s.Hidden, s.Heads)
	}
	const sharing = 128 // so many layers may share the weights of fewer, as albert's do
	if s.Layers > max(tensors, sharing) {
		return fmt.Errorf("%d layers, but the checkpoint holds only %d tensors", s.Layers, tensors)
	}
	return nil
}

// Inputs are what a forward function computes from.
type Inputs struct {
	IDs        *graph.Value // int64 [batch, sequence]
	TokenTypes *graph.Value // int64 [batch, sequence]; nil where the config has fewer than two types
	Positions  *graph.Value // int64 [batch, sequence]: 0 at the first real token, counted by the attention mask
	Mask       *Masks

	TaskType      int  // which row of ernie's task type table, for all tokens
	Bidirectional bool // decoders: attend to all real tokens, whatever the config says
}

// Outputs are a forward function's results, [batch, sequence, hidden] each.
type Outputs struct {
	Hidden *graph.Value   // what the transformer gives, its final norm included
	Blocks []*graph.Value // 0: the embeddings, i: block i's output, before the final norm where there is one
}

// forward adapts a forward function over its own config type.
func forward[C Config](f func(*graph.Builder, C, Inputs) Outputs) func(*graph.Builder, Config, Inputs) Outputs {
	return func(b *graph.Builder, config Config, in Inputs) Outputs { return f(b, config.(C), in) }
}

// archOf finds the architecture of a model_type, and of a position_embedding_type where published code kept another's.
func archOf(modelType, positionType string) (*Arch, error) {
	for _, a := range archs {
		if kind, ok := a.Code[modelType]; ok && kind == positionType {
			return a, nil
		}
	}
	var known []string
	for _, a := range archs {
		if slices.Contains(a.ModelTypes, modelType) {
			return a, nil
		}
		known = append(known, a.ModelTypes...)
	}
	slices.Sort(known)
	return nil, fmt.Errorf("unknown architecture: model_type %q in config.json; known: %s", modelType, strings.Join(known, ", "))
}
