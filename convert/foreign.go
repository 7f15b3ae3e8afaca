package convert

import (
	"errors"
	"fmt"
	"strings"

	"graft/graph"
	"graft/graph/onnx"
)

// inputNames are the names under which ONNX exports take the tokens, and ours for them.
var inputNames = map[string]string{
	"input_ids": "input_ids", "input": "input_ids",
	"attention_mask": "attention_mask", "input_mask": "attention_mask",
	"token_type_ids": "token_type_ids", "segment_ids": "token_type_ids",
	"position_ids": "position_ids",
}

// tokenOutputs and textOutputs are the names under which exports give token vectors [batch,
// sequence, features] and text vectors [batch, features].
var (
	tokenOutputs = []string{"last_hidden_state", "token_embeddings"}
	textOutputs  = []string{"sentence_embedding", "text_embeds", "embeddings"}
)

// openONNX reads an ONNX file as a model: its inputs and outputs get our names, and where it gives
// token vectors only, the graph is ended with the pooling asked for or found beside it.
func openONNX(dir, file string, o OpenOptions) (*Model, error) {
	m := &Model{Dir: dir, File: file}
	if err := m.readSideFiles(dir, o); err != nil {
		return nil, err
	}
	var err error
	if m.Graph, err = onnx.Read(file); err != nil {
		return nil, err
	}
	if m.Config != nil {
		m.readConfig() // an unknown architecture is no hindrance: the graph is there
	}
	if err := m.readMetadata(o); err != nil {
		return nil, err
	}
	if err := m.nameInputs(); err != nil {
		return nil, err
	}
	if err := m.nameOutputs(o); err != nil {
		return nil, err
	}
	if s := m.Graph.Graph.Output("sentence_embedding").Shape(); len(s) == 2 && s[1].Known() {
		m.Dim = int(s[1].Size)
	}
	return m, m.checkTokenizer()
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
			return fmt.Errorf("input %q is not one of a text encoder (input_ids, attention_mask, token_type_ids, position_ids)", v.Name)
		case name == "position_ids":
			place = v
			continue
		case name != v.Name:
			v.Name, m.File = name, ""
		}
		kept = append(kept, v)
	}
	mask := find(kept, "attention_mask")
	if find(kept, "input_ids") == nil || mask == nil {
		return errors.New("the graph has no inputs input_ids and attention_mask")
	}
	if place != nil {
		b := graph.NewBuilder(g, nil)
		count := len(g.Nodes)
		v := positions(b, asInt64(b, mask))
		g.Nodes = append(g.Nodes[count:len(g.Nodes):len(g.Nodes)], g.Nodes[:count]...) // before their readers
		g.Replace(place, v)
		m.File = ""
	}
	g.Inputs = kept
	return nil
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
	repool := o.Pooling != "" || o.Normalize != nil
	switch {
	case tokens == nil && text == nil:
		return fmt.Errorf("no output is a vector per token or per text; the outputs are %v", g.Outputs)
	case text != nil && repool && tokens == nil:
		return fmt.Errorf("pooling or normalization cannot be changed: the graph has no vector per token, only %v", text)
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
	b := graph.NewBuilder(g, nil)
	v, dim := m.Modules.embed(b, m.Graph.Opset(""), tokens, asInt64(b, find(g.Inputs, "attention_mask")), features)
	if err := b.Err(); err != nil {
		return err
	}
	size := graph.AnyDim
	if features > 0 {
		size = graph.Size(int64(dim))
	}
	if text != nil {
		g.Outputs = without(g.Outputs, text)
		text.Name = unusedName(g, text.Name)
	}
	text = b.Output("sentence_embedding", v, graph.TensorType(graph.Float, graph.Symbol("batch"), size))
	m.File = ""
	m.keepOutputs(tokens, text)
	return nil
}

// unusedName makes a name from stem that no value of g has.
func unusedName(g *graph.Graph, stem string) string {
	names := g.Names()
	name := stem
	for i := 1; names[name]; i++ {
		name = fmt.Sprintf("%s_%d", stem, i)
	}
	return name
}

func without(list []*graph.Value, drop *graph.Value) []*graph.Value {
	var kept []*graph.Value
	for _, v := range list {
		if v != drop {
			kept = append(kept, v)
		}
	}
	return kept
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
		tokens = firstOfRank(list, 3)
	}
	if text == nil && tokens == nil {
		text = firstOfRank(list, 2)
	}
	return tokens, text
}

func firstOfRank(list []*graph.Value, rank int) *graph.Value {
	for _, v := range list {
		if v.DType() == graph.Float && len(v.Shape()) == rank {
			return v
		}
	}
	return nil
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

func (m *Model) rename(v *graph.Value, name string) {
	if v.Name != name {
		v.Name, m.File = unusedName(m.Graph.Graph, name), ""
	}
}
