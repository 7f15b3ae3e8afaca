package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"graft/graph"
)

// Surgery is what a rewrite did to the parts of a graph that a checkpoint and its config count.
type Surgery struct {
	Layers []int             // the layers that stayed, by their former numbers; nil: all
	Names  map[string]string // what weights' names begin with, such as "encoder.layer.3": before -> after, "" where the layer is gone

	// What config.json counts, 0 where it is as it was. All layers have the same.
	QueryHeads, KeyHeads, HeadSize int
	Intermediate                   int // neurons of the feed-forward network

	Vocabulary *Vocabulary // the tokens that stayed; nil: all

	left map[string]bool // the checkpoint's tensors of layers that are gone which other layers read
}

// Rewrite lets change rewrite the graph in place, and carries what it did over to config.json and to the
// checkpoint: tensors of layers that are gone go, those of the others get their new names, and weights that
// were replaced are taken from the graph. The model that is built of these must be the graph that
// change left; where the architecture cannot say what the graph computes, the checkpoint is dropped,
// with a warning, and Save writes the ONNX file alone.
func (m *Model) Rewrite(change func(*graph.Model) (Surgery, error)) error {
	if err := m.keepParent(); err != nil {
		return err
	}
	before := map[*graph.Value]*graph.Tensor{}
	names := map[*graph.Value]string{}
	for _, v := range m.Graph.Graph.Initializers {
		before[v], names[v] = v.Init, v.Name
	}
	s, err := change(m.Graph)
	if err != nil {
		return err
	}
	if m.Config, err = s.config(m); err != nil {
		return err
	}
	if s.Layers != nil {
		m.Sizes.Layers = len(s.Layers)
	}
	if s.Vocabulary != nil {
		m.vocabulary = s.Vocabulary
	}
	if m.source == nil {
		return nil
	}
	s.leave(m, names)
	stored, changed := map[string]string{}, map[string]bool{}
	for _, v := range m.Graph.Graph.Initializers {
		old, was := names[v]
		if name, ok := m.stored[old]; was && ok {
			stored[v.Name] = s.name(name)
			changed[v.Name] = m.changed[old] || before[v] != v.Init
		}
	}
	maps.DeleteFunc(changed, func(_ string, is bool) bool { return !is })
	m.stored, m.changed = stored, changed
	m.source = m.source.renamed(s.name)
	if s.Vocabulary != nil {
		m.source.pickRows(s.Vocabulary, stored)
	}
	if err := m.rebuilds(); err != nil {
		m.source, m.Arch = nil, nil
		why, _, _ := strings.Cut(err.Error(), "\n")
		m.Warnings = append(m.Warnings, fmt.Sprintf("the architecture's config cannot say what the graph computes now (%s): the ONNX file is written without a checkpoint", why))
	}
	return nil
}

// leave finds the tensors that outlive their layer, as T5's bias by distance does, which the first layer holds for all: they
// keep their names where those are free. names are what m's initializers were called before.
func (s *Surgery) leave(m *Model, names map[*graph.Value]string) {
	taken, left := map[string]bool{}, map[string]bool{}
	for name := range m.source.tensors {
		taken[s.name(name)] = true
	}
	for _, v := range m.Graph.Graph.Initializers {
		if name, ok := m.stored[names[v]]; ok && s.name(name) == "" && !taken[name] {
			left[name] = true
		}
	}
	s.left = left
}

// name is a tensor's name after the surgery, "" where it is gone.
func (s *Surgery) name(name string) string {
	for before, after := range s.Names {
		if rest, ok := strings.CutPrefix(name, before+"."); ok {
			switch {
			case after != "":
			case s.left[name]:
				return name
			default:
				return ""
			}
			return after + "." + rest
		}
	}
	return name
}

// renamed is the checkpoint with its tensors under other names, without those that have none.
func (s *source) renamed(name func(string) string) *source {
	to := &source{tensors: map[string]*graph.Tensor{}, raw: map[string]rawTensor{}, format: "rewritten", Closer: s.Closer}
	for old, t := range s.tensors {
		if new := name(old); new != "" {
			moved := *t
			moved.Name = new
			to.tensors[new], to.raw[new] = &moved, s.raw[old]
		}
	}
	return to
}

// rebuilds builds the model that config.json and the checkpoint describe now, and tells why that is
// not the model's graph.
func (m *Model) rebuilds() error {
	built := &Model{Arch: m.Arch, Config: m.Config, Modules: m.Modules, source: m.source.renamed(func(name string) string { return name })}
	config, err := built.readConfig()
	if err != nil {
		return err
	}
	for name := range m.changed {
		t := *m.Graph.Graph.Initializer(name).Init
		t.Name = m.stored[name]
		built.source.tensors[t.Name] = &t
	}
	if err := built.build(config, m.options); err != nil {
		return err
	}
	a, err := signature(m.Graph.Graph, m.stored)
	if err != nil {
		return err
	}
	b, err := signature(built.Graph.Graph, built.stored)
	if err != nil {
		return err
	}
	if !slices.Equal(a, b) {
		return errors.New("the architecture's layers differ from those that are left")
	}
	return nil
}

// counts are the numbers in config.json that surgery changes, and the keys that hold them, by library and
// age. Where a config has none, the first is set, for some only beside another key: not all architectures have them.
var counts = []struct {
	of     func(*Surgery) int
	keys   []string
	beside string
}{
	{func(s *Surgery) int { return len(s.Layers) }, []string{"num_hidden_layers", "n_layers", "n_layer", "num_layers"}, ""},
	{func(s *Surgery) int { return s.QueryHeads }, []string{"num_attention_heads", "n_heads", "n_head", "num_heads"}, ""},
	{func(s *Surgery) int { return s.KeyHeads }, []string{"num_key_value_heads"}, "num_key_value_heads"},
	{func(s *Surgery) int { return s.HeadSize }, []string{"head_dim"}, "num_key_value_heads"},
	{func(s *Surgery) int { return s.Intermediate }, []string{"intermediate_size", "hidden_dim", "n_inner", "d_ff"}, ""},
	{func(s *Surgery) int { return s.Vocabulary.size() }, []string{"vocab_size"}, ""},
}

// config is m's config.json after the surgery; nil where there is none.
func (s *Surgery) config(m *Model) (json.RawMessage, error) {
	if m.Config == nil {
		return nil, nil
	}
	return s.edit(m, m.Config)
}

// edit is a config, or the part of one that describes the transformer, after the surgery.
func (s *Surgery) edit(m *Model, config json.RawMessage) (json.RawMessage, error) {
	const transformer = "text_config" // of models that hold one whole, as nvembed
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(config, &keys); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if inner, ok := keys[transformer]; ok {
		edited, err := s.edit(m, inner)
		if err != nil {
			return nil, err
		}
		return withKey(config, transformer, edited)
	}
	set := map[string]any{}
	for _, c := range counts {
		n := c.of(s)
		if n == 0 {
			continue
		}
		present := slices.DeleteFunc(slices.Clone(c.keys), func(key string) bool { return keys[key] == nil })
		if len(present) == 0 && (c.beside == "" || keys[c.beside] != nil) {
			present = c.keys[:1]
		}
		for _, key := range present {
			set[key] = n
		}
	}
	if s.Layers != nil {
		m.layerKinds(s.Layers, keys, set)
	}
	s.Vocabulary.tokenIDs(keys, set)
	for _, key := range slices.Sorted(maps.Keys(set)) {
		var err error
		if config, err = withKey(config, key, set[key]); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// layerKinds keeps what config.json says of single layers true: the lists with an entry for each, and max_window_layers.
func (m *Model) layerKinds(kept []int, keys map[string]json.RawMessage, set map[string]any) {
	for _, kind := range layerLists {
		var list []any
		if json.Unmarshal(keys[kind.key], &list) == nil && len(list) > kept[len(kept)-1] {
			set[kind.key] = chosen(list, kept)
		} else if list = m.ruled(kind.rule); list != nil {
			// The rule on places holds for the layers that are left, or each is named.
			if left := chosen(list, kept); !slices.Equal(left, list[:len(left)]) {
				set[kind.key] = left
				if kind.warning != "" {
					m.Warnings = append(m.Warnings, kind.warning)
				}
			}
		}
	}
	var most int
	if json.Unmarshal(keys["max_window_layers"], &most) == nil && most > 0 {
		set["max_window_layers"] = len(slices.DeleteFunc(slices.Clone(kept), func(old int) bool { return old >= most }))
	}
}

// chosen are the elements of list at the indices.
func chosen[T any](list []T, indices []int) []T {
	var out []T
	for _, i := range indices {
		out = append(out, list[i])
	}
	return out
}
