package convert

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"graft/graph"
)

// nameOutputs gives the outputs our names, pools where there is no text vector or another pooling
// is asked for, and drops all others.
func (m *Model) nameOutputs(o OpenOptions) error {
	g := m.Graph.Graph
	tokens, text := m.outputs()
	tokens, text = m.floatOutput(tokens), m.floatOutput(text)
	repool := m.poolsOtherwise(o) || o.Unnormalized && tokens != nil && m.normalizes() && len(m.Modules.Dense) == 0
	switch {
	case tokens == nil && text == nil:
		return noVectors(g.Outputs)
	case tokens == nil:
		return m.endText(text, o)
	case text != nil && !repool:
		m.keepOutputs(tokens, text)
		return nil
	}
	features := 0
	if s := tokens.Shape(); len(s) == 3 && s[2].Known() {
		features = int(s[2].Size)
	}
	if len(m.Modules.Dense) > 0 {
		return errors.New("Dense modules cannot be put behind an ONNX file; export the checkpoint")
	}
	if !m.Modules.Found && o.Pooling == "" {
		m.Warnings = append(m.Warnings, "nothing says how tokens are pooled: their mean is taken")
	}
	b := freshBuilder(g)
	modules := m.graphModules(o)
	v, dim := modules.embed(b, m.Graph.Opset(""), m.tokenVectors(b, tokens), features)
	if err := b.Err(); err != nil {
		return err
	}
	size := graph.AnyDim
	if features > 0 {
		size = graph.Size(int64(dim))
	}
	v.Type = graph.TensorType(graph.Float, graph.Symbol("batch"), size)
	m.keepOutputs(tokens, v)
	return nil
}

// endText takes text, the vectors of texts, from a graph that has none of tokens: they can be normalized, but they are pooled
// as they are.
func (m *Model) endText(text *graph.Value, o OpenOptions) error {
	pooling, ours := m.Graph.Meta(metaPooling)
	normalize := o.Normalize != nil && *o.Normalize
	switch {
	case m.Modules.PromptPooling != PromptPooled && find(m.Graph.Graph.Inputs, poolingMask) == nil,
		o.Pooling != "" && (!ours || pooling != m.Modules.PoolingName()):
		return fmt.Errorf("pooling cannot be changed: the graph has no vector per token, only %v", text)
	case ours && m.normalizes() && !m.Modules.Normalize && !o.Unnormalized:
		return fmt.Errorf("normalization cannot be taken out: the graph has no vector per token, only %v", text)
	case ours:
		normalize = m.Modules.Normalize && !m.normalizes()
	case !m.Modules.Found && o.Normalize == nil:
		m.Modules.Normalize = text.Def().Is("Div") || text.Def().Is("LpNormalization")
	}
	if normalize && o.Unnormalized {
		m.unnormalized = true
	} else if normalize {
		b := freshBuilder(m.Graph.Graph)
		unit := newPooler(b, m.Graph.Opset(""), tokenVectors{}).normalize(text)
		if b.Err() != nil {
			return b.Err()
		}
		unit.Type = text.Type
		text = unit
	}
	m.keepOutputs(nil, text)
	return nil
}

// tokenVectors are what an ONNX graph's pooling is made of.
func (m *Model) tokenVectors(b *graph.Builder, tokens *graph.Value) tokenVectors {
	g := m.Graph.Graph
	attention := asInt64(b, find(g.Inputs, "attention_mask"))
	return tokenVectors{hidden: tokens, mask: m.Modules.poolingMask(b, g, attention), real: attention}
}

// poolsOtherwise reports whether the file's text vectors, if it has any, are not those wanted.
func (m *Model) poolsOtherwise(o OpenOptions) bool {
	if m.Modules.PromptPooling != PromptPooled && find(m.Graph.Graph.Inputs, poolingMask) == nil {
		return true
	}
	pooling, ours := m.Graph.Meta(metaPooling)
	if !ours {
		return o.Pooling != "" || o.Normalize != nil
	}
	normalize, _ := m.Graph.Meta(metaNormalize)
	return pooling != m.Modules.PoolingName() || normalize != strconv.FormatBool(m.Modules.Normalize)
}

// normalizes reports whether the file says that its text vectors have length 1.
func (m *Model) normalizes() bool {
	v, _ := m.Graph.Meta(metaNormalize)
	return v == "true"
}

// noVectors says what the outputs are instead.
func noVectors(outputs []*graph.Value) error {
	var names []string
	scores := true
	for _, v := range outputs {
		names = append(names, v.String())
		scores = scores && areScores(v)
	}
	if scores {
		return fmt.Errorf("the file gives scores of a classifier or a language model, and no vectors: its outputs are %s; export the encoder without its head", strings.Join(names, ", "))
	}
	return fmt.Errorf("no output is a vector per token or per text; the outputs are %s", strings.Join(names, ", "))
}

// areScores reports whether an output is what a head for another task gives.
func areScores(v *graph.Value) bool { return strings.HasPrefix(v.Name, "logits") }

// floatOutput is an output in float32, in which vectors are handed over, whatever the graph computes in.
func (m *Model) floatOutput(v *graph.Value) *graph.Value {
	if v == nil || v.DType() == graph.Float {
		return v
	}
	wide := freshBuilder(m.Graph.Graph).Cast(v, graph.Float)
	wide.Type = graph.TensorType(graph.Float, v.Shape()...)
	m.File = ""
	return wide
}

// outputs finds the token vectors and the text vectors: by name, else the first output of three
// dimensions and, where there is none, the first of two.
func (m *Model) outputs() (tokens, text *graph.Value) {
	list := m.Graph.Graph.Outputs
	for _, name := range tokenOutputs {
		if tokens == nil {
			tokens = find(list, name)
		}
	}
	for _, name := range textOutputs {
		if text == nil {
			text = find(list, name)
		}
	}
	if tokens == nil {
		tokens = m.firstOfRank(3)
	}
	if text == nil && tokens == nil {
		text = m.firstOfRank(2)
	}
	return tokens, text
}

// firstOfRank is the first output of so many dimensions; where there are more, which one it is is said.
func (m *Model) firstOfRank(rank int) *graph.Value {
	var found []string
	for _, v := range m.Graph.Graph.Outputs {
		if v.DType().IsFloat() && len(v.Shape()) == rank && !areScores(v) {
			found = append(found, v.Name)
		}
	}
	if len(found) == 0 {
		return nil
	}
	if len(found) > 1 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("the first of the outputs %q is taken", found))
	}
	return find(m.Graph.Graph.Outputs, found[0])
}

// keepOutputs leaves the graph these two outputs (tokens may be nil) under our names.
func (m *Model) keepOutputs(tokens, text *graph.Value) {
	g := m.Graph.Graph
	kept := []*graph.Value{text}
	if tokens != nil {
		kept = []*graph.Value{tokens, text}
		m.rename(tokens, "last_hidden_state")
	}
	m.rename(text, "sentence_embedding")
	if len(g.Outputs) != len(kept) {
		m.File = ""
	}
	g.Outputs = kept
}

// rename gives v a name; another value that has it gets one of its own.
func (m *Model) rename(v *graph.Value, name string) {
	if v.Name == name {
		return
	}
	g := m.Graph.Graph
	taken := g.Names()
	g.Walk(func(n *graph.Node) {
		for _, w := range n.Outputs {
			if w != nil && w.Name == name {
				for i := 1; taken[w.Name]; i++ {
					w.Name = fmt.Sprintf("%s_%d", name, i)
				}
			}
		}
	})
	v.Name, m.File = name, ""
}
