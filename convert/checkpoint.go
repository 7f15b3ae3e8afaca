package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"graft/graph"
	"graft/lines"
)

// openCheckpoint builds the graph of a checkpoint.
func openCheckpoint(dir string, o OpenOptions) (_ *Model, err error) {
	m := &Model{Dir: dir}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	t, err := translate(dir)
	if err != nil {
		return nil, err
	}
	if t != nil {
		dir, m.Dir, m.source, m.Warnings = t.dir, t.dir, t.source, t.warnings
		m.files = append(m.files, t)
		if o.Pooling == "" && !exists(filepath.Join(dir, "modules.json")) {
			o.Pooling = t.pooling
		}
	}
	if err := m.readSideFiles(dir, o); err != nil {
		return nil, err
	}
	if m.Config == nil {
		return nil, fmt.Errorf("there is neither a config.json nor an ONNX file: %w", fs.ErrNotExist)
	}
	config, err := m.readConfig()
	if err != nil {
		return nil, err
	}
	if err := m.settlePooling(config, o); err != nil {
		return nil, err
	}
	if m.source == nil {
		if m.source, err = openSource(dir); err != nil {
			return nil, err
		}
		m.files = append(m.files, m.source)
	}
	if err := m.Sizes.check(len(m.source.tensors)); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if err := m.source.addDense(dir, m.Modules.Dense); err != nil {
		return nil, err
	}
	if err := m.build(config, o); err != nil {
		return nil, err
	}
	return m, m.checkTokenizer()
}

// readSideFiles reads what stands beside the weights.
func (m *Model) readSideFiles(dir string, o OpenOptions) error {
	m.begin, m.end = o.AddBOSToken, o.AddEOSToken
	var err error
	m.Config, err = os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if m.Modules, err = readModules(dir); err != nil {
		return err
	}
	if m.Steps, err = readSteps(dir); err != nil {
		return err
	}
	if err := m.findTokenizer(dir, o.Tokenizer); err != nil {
		return err
	}
	return m.choose(o)
}

// choose settles the modules: what the options say, what the directory says, the defaults.
func (m *Model) choose(o OpenOptions) error {
	mod := &m.Modules
	switch {
	case o.Pooling != "":
		mod.Pooling = nil
		for name := range strings.SplitSeq(o.Pooling, "+") {
			mode, err := poolingMode(name)
			if err != nil {
				return err
			}
			mod.Pooling = append(mod.Pooling, mode)
		}
	case len(mod.Pooling) == 0:
		mean, err := poolingMode("mean")
		if err != nil {
			return err
		}
		mod.Pooling = []PoolingMode{mean}
	}
	if o.Normalize != nil {
		mod.Normalize = *o.Normalize
	} else if !mod.Found {
		mod.Normalize = true
	}
	if o.MaxLength > 0 {
		mod.MaxLength = o.MaxLength
	} else if o.UpToLength > 0 {
		mod.MaxLength = o.UpToLength
	}
	maps.Copy(mod.Prompts, o.Prompts)
	maps.Copy(mod.Suffixes, o.Suffixes)
	maps.DeleteFunc(mod.Suffixes, func(_, suffix string) bool { return suffix == "" })
	mod.PairTitles = mod.PairTitles || o.PairTitles
	if o.Similarity != "" {
		mod.Similarity = o.Similarity
	}
	return nil
}

// readConfig finds the architecture in config.json and reads its config.
func (m *Model) readConfig() (Config, error) {
	var head struct {
		ModelType    string `json:"model_type"`
		PositionType string `json:"position_embedding_type"`
	}
	if err := lines.Unmarshal(m.Config, &head); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	arch, err := archOf(head.ModelType, head.PositionType)
	if err != nil {
		return nil, err
	}
	config := arch.Config()
	if err := lines.Unmarshal(m.Config, config); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	m.Arch, m.Sizes = arch, config.Sizes()
	if most := m.Sizes.Positions; m.Modules.MaxLength == 0 || m.Modules.MaxLength > most {
		m.Modules.MaxLength = most
	}
	return config, nil
}

// irOpset is the operator set whose meanings graphs are built in; pass.Lower writes older ones.
const irOpset = 23

// build has the architecture write its graph and ends it with the modules.
func (m *Model) build(config Config, o OpenOptions) error {
	plan, err := newPlan(m.source, m.Arch.Anchor)
	if err != nil {
		return err
	}
	g := &graph.Graph{Name: m.Arch.Name}
	b := graph.NewBuilder(g, plan)
	tokens := graph.TensorType(graph.Int64, graph.Symbol("batch"), graph.Symbol("sequence"))
	in := Inputs{IDs: b.Input("input_ids", tokens), TaskType: o.TaskType, Bidirectional: o.Bidirectional}
	attention := b.Input("attention_mask", tokens)
	if m.Sizes.Types > 1 {
		in.TokenTypes = b.Input("token_type_ids", tokens)
	}
	if o.Bidirectional {
		if m.Config, err = bothWays(m.Config, m.Sizes.Positions); err != nil {
			return err
		}
	}
	in.Mask, in.Positions = newMasks(b, attention), positions(b, attention)

	root := b
	if plan.prefix != "" {
		root = b.Scope("%s", strings.TrimSuffix(plan.prefix, "."))
	}
	out := m.Arch.Forward(root, config, in)
	var v *graph.Value
	modules := m.graphModules(o)
	pooled := tokenVectors{hidden: out.Hidden, mask: modules.poolingMask(b, g, attention), real: attention}
	if m.Arch.Latent != nil {
		pooled.latent = func(hidden *graph.Value) *graph.Value { return m.Arch.Latent(b, config, hidden) }
	}
	v, m.Dim = modules.embed(b, irOpset, pooled, m.Sizes.Hidden)
	if err := firstOf(b.Err()); err != nil {
		return err
	}
	hidden := graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Symbol("sequence"), graph.Size(int64(m.Sizes.Hidden)))
	b.Output("last_hidden_state", out.Hidden, hidden)
	b.Output("sentence_embedding", v, graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Size(int64(m.Dim))))
	if o.HiddenStates {
		for i, block := range out.Blocks {
			name := fmt.Sprintf("hidden_states.%d", i)
			b.Output(name, b.Scope("%s", name).Op("Identity", []*graph.Value{block}), hidden)
		}
	}
	m.Graph = &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Domain: "", Version: irOpset}}, ProducerName: "graft", Graph: g}
	m.Unused, m.prefix, m.stored, m.options = plan.unused(), plan.prefix, plan.taken, o
	if name := unreadInBlock(m.Unused); m.Arch.Code != nil && name != "" {
		return fmt.Errorf("tensor %q of a block is not read: the checkpoint is of another version of %s than those that are known", name, m.Arch.Name)
	}
	if n := leftOutAdapters(m.Unused); n > 0 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("the checkpoint's adapters for tasks are left out (%d tensors): the vectors are those of no task", n))
	}
	if o.Pooling == "" && !m.Modules.Found {
		m.Warnings = append(m.Warnings, "no modules.json says how tokens are pooled: their mean is taken")
	}
	return nil
}

// firstOf is the first of joined errors, with the number of others that say something else: a wrong config
// is wrong in every layer.
func firstOf(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	others := map[string]bool{}
	for _, e := range joined.Unwrap() {
		others[e.Error()] = true
	}
	first := joined.Unwrap()[0]
	if len(others) == 1 {
		return first
	}
	return fmt.Errorf("%w (and %d more such errors)", first, len(others)-1)
}

// bothWays makes a decoder's config say that its tokens see all others, so that whoever opens it next, the
// library too, computes the same: a window becomes as wide as the longest text.
func bothWays(raw json.RawMessage, positions int) (json.RawMessage, error) {
	var has struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(raw, &has); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if has.ModelType == gemma3.ModelTypes[0] { // which keeps half a window on either side
		return withKey(raw, "use_bidirectional_attention", true)
	}
	raw, err := withKey(raw, "sliding_window", positions)
	if err != nil {
		return nil, err
	}
	return withKey(raw, "is_causal", false)
}

// withKey sets a key of a JSON object, so that a config keeps telling the truth.
func withKey(raw json.RawMessage, key string, value any) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	object := map[string]any{}
	if err := d.Decode(&object); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	object[key] = value
	return json.MarshalIndent(object, "", "  ")
}

// addDense puts the tensors of Dense modules beside the transformer's, under their folders' names.
func (s *source) addDense(dir string, layers []Dense) error {
	for _, d := range layers {
		own, err := openSource(filepath.Join(dir, d.Dir))
		if err != nil {
			return err
		}
		for name, t := range own.tensors {
			t.Name = d.Dir + "." + name
			s.tensors[t.Name], s.raw[t.Name] = t, own.raw[name]
		}
		s.Closer = closers{s.Closer, own.Closer}
	}
	return nil
}
