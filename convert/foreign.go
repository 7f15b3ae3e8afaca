package convert

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
