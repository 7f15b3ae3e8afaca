package convert

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"graft/graph"
	"graft/graph/onnx"
)

// inputNames are the names under which ONNX exports take the tokens, and ours for them.
var inputNames = map[string]string{
	"input_ids": "input_ids", "input": "input_ids", "inputs": "input_ids", "ids": "input_ids", "token_ids": "input_ids", "tokens": "input_ids",
	"attention_mask": "attention_mask", "input_mask": "attention_mask", "mask": "attention_mask",
	"token_type_ids": "token_type_ids", "segment_ids": "token_type_ids", "input_type_ids": "token_type_ids", "type_ids": "token_type_ids",
	"position_ids": "position_ids", poolingMask: poolingMask,
}

// tokenOutputs and textOutputs are the names under which exports give token vectors [batch,
// sequence, features] and text vectors [batch, features].
var (
	tokenOutputs = []string{"last_hidden_state", "token_embeddings"}
	textOutputs  = []string{"sentence_embedding", "text_embeds", "embeddings"}
)

// openONNX reads an ONNX file as a model: its inputs and outputs get our names, and where it gives
// token vectors only, the graph is ended with the pooling asked for or found beside it.
func openONNX(dir, file string, o OpenOptions) (_ *Model, err error) {
	m := &Model{Dir: dir, File: file}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	if err := m.readSideFiles(dir, o); err != nil {
		return nil, err
	}
	if m.Graph, err = onnx.Read(file); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(file), errors.Unwrap(err)) // which model, Open says
	}
	if inlined, err := m.Graph.Inline(); err != nil {
		return nil, err
	} else if inlined {
		m.File = ""
	}
	if m.Config != nil {
		m.readConfig() // an unknown architecture is no hindrance: the graph is there
	}
	if err := m.readMetadata(o); err != nil {
		return nil, err
	}
	if err := m.completeShapes(); err != nil {
		return nil, err
	}
	if err := m.nameInputs(); err != nil {
		return nil, err
	}
	if err := m.nameOutputs(o); err != nil {
		return nil, err
	}
	m.measure()
	return m, m.checkTokenizer()
}

// measure takes from the graph what nothing else has said: sizes of the outputs, the longest text.
func (m *Model) measure() {
	g := m.Graph.Graph
	if s := g.Output("sentence_embedding").Shape(); len(s) == 2 && s[1].Known() {
		m.Dim = int(s[1].Size)
	}
	if v := g.Output("last_hidden_state"); v != nil && m.Sizes.Hidden == 0 {
		if s := v.Shape(); len(s) == 3 && s[2].Known() {
			m.Sizes.Hidden = int(s[2].Size)
		}
	}
	if m.Modules.MaxLength > 0 {
		return
	}
	for _, v := range g.Initializers {
		if strings.Contains(v.Name, "position_embeddings") && len(v.Init.Shape) == 2 {
			rows := int(v.Init.Shape[0])
			if n := rows - 2; n > 0 && n&(n-1) == 0 {
				rows = n // RoBERTa's table begins with two rows that no text uses
			}
			m.Modules.MaxLength = rows
		}
	}
}

// completeShapes gives inputs of which the file does not even say how many axes they have the two of tokens, and
// what follows of them to the rest: exporters often leave open how wide a vector is.
func (m *Model) completeShapes() error {
	g := m.Graph.Graph
	vague := slices.ContainsFunc(g.Outputs, func(v *graph.Value) bool {
		s := v.Shape()
		return len(s) == 0 || !s[len(s)-1].Known()
	})
	for _, v := range g.Inputs {
		if v.Shape() == nil && v.Init == nil && g.Initializer(v.Name) == nil {
			v.Type, vague = graph.TensorType(v.DType(), graph.Symbol("batch"), graph.Symbol("sequence")), true
		}
	}
	if !vague {
		return nil
	}
	m.File = "" // a runtime could not tell from it how wide the vectors are
	return graph.Infer(m.Graph)
}

// nameInputs gives the inputs our names and takes position_ids from the mask.
func (m *Model) nameInputs() error {
	g := m.Graph.Graph
	var place *graph.Value
	kept := g.Inputs[:0:0]
	for _, v := range g.Inputs {
		if v.Init != nil || g.Initializer(v.Name) != nil { // up to IR version 3, weights are inputs too
			kept = append(kept, v)
			continue
		}
		name, ok := inputNames[strings.TrimSuffix(v.Name, ":0")]
		switch {
		case !ok:
			return fmt.Errorf("input %q is not one of a text encoder (input_ids, attention_mask, token_type_ids, position_ids, pooling_mask)", v.Name)
		case find(kept, name) != nil || name == "position_ids" && place != nil:
			return fmt.Errorf("input %q: another input is %s already", v.Name, name)
		case name == "position_ids":
			place = v
			continue
		case name != v.Name:
			m.rename(v, name)
		}
		kept = append(kept, m.int64Input(v))
	}
	mask := find(kept, "attention_mask")
	switch {
	case find(kept, "input_ids") == nil:
		return errors.New("the graph has no input input_ids")
	case mask == nil:
		return errors.New("the graph has no input attention_mask: it takes padding for text")
	}
	if place != nil {
		b := freshBuilder(g)
		count := len(g.Nodes)
		v := positions(b, asInt64(b, mask))
		g.Nodes = append(g.Nodes[count:len(g.Nodes):len(g.Nodes)], g.Nodes[:count]...) // before their readers
		g.Replace(place, v)
		m.File = ""
	}
	g.Inputs = kept
	return nil
}

// int64Input makes an input of another integer type one of int64, as all tokens are given.
func (m *Model) int64Input(v *graph.Value) *graph.Value {
	if v.DType() != graph.Int32 {
		return v
	}
	g := m.Graph.Graph
	wide := graph.NewValue(v.Name, graph.TensorType(graph.Int64, v.Shape()...))
	v.Name += "_int32"
	cast := graph.NewNode("Cast", []*graph.Value{wide}, []*graph.Value{v}, graph.IntAttr("to", int64(graph.Int32)))
	g.Nodes = append([]*graph.Node{cast}, g.Nodes...)
	m.File = ""
	return wide
}

// CheckSizes tells of a graph that was exported for texts of one length, or for so many at a time: it cannot run others.
func (m *Model) CheckSizes() error {
	for _, v := range m.Graph.Graph.Inputs {
		fixed := slices.ContainsFunc(v.Shape(), graph.Dim.Known)
		if _, ok := inputNames[v.Name]; ok && fixed {
			return fmt.Errorf("read model %q: input %v has a fixed size, but texts come in all lengths and numbers: export it with dynamic axes", m.Path, v)
		}
	}
	return nil
}

// freshBuilder appends to a graph that somebody else named: its names begin as none there does.
func freshBuilder(g *graph.Graph) *graph.Builder {
	taken := g.Names()
	for _, n := range g.Nodes {
		taken[n.Name] = true
	}
	scope := "graft"
	for i := 1; hasPrefix(taken, scope+"/"); i++ {
		scope = fmt.Sprintf("graft_%d", i)
	}
	return graph.NewBuilder(g, nil).Scope("%s", scope)
}

func hasPrefix(names map[string]bool, prefix string) bool {
	for name := range names {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func find(list []*graph.Value, name string) *graph.Value {
	for _, v := range list {
		if v.Name == name {
			return v
		}
	}
	return nil
}

func asInt64(b *graph.Builder, v *graph.Value) *graph.Value {
	if v.DType() == graph.Int64 {
		return v
	}
	return b.Cast(v, graph.Int64)
}

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
