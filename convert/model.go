// Package convert turns checkpoints and model directories into graphs, and graphs into model
// directories.
//
// Open reads what a directory holds (source.go: headers only), decides what each tensor becomes
// (plan.go), and has the architecture (arch.go: the table; one file each) write its graph, ended by
// what follows the transformer (modules.go). Somebody else's ONNX file is a model too (foreign.go).
// Save writes a model directory (save.go).
package convert

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/graph"
	"graft/lines"
)

// Model is a text-embedding model: its graph and all that is needed to feed it.
//
// The graph takes input_ids and attention_mask, int64 [batch, sequence], and token_type_ids where
// it uses them; it gives last_hidden_state [batch, sequence, hidden] (foreign files may lack it)
// and sentence_embedding [batch, dim]. Padding on either side gives the same embedding.
type Model struct {
	Path  string // what was opened, as given
	Dir   string // the model directory
	File  string // the ONNX file that Graph was read from and still equals; "" where Graph was built or changed
	Graph *graph.Model

	Arch      *Arch           // nil where Graph came from an ONNX file of an architecture that is not known
	Config    json.RawMessage // config.json as it stands; nil where there is none
	Sizes     Sizes           // zero where Arch is nil
	Modules   Modules
	Dim       int    // features of sentence_embedding; 0: the file does not say
	Tokenizer string // path of tokenizer.json; "": none
	Unused    []string
	Warnings  []string // what a user should know, one sentence each
	Steps     []Step   // how the model came about, from graft.json

	source *source           // the checkpoint, nil for ONNX
	prefix string            // what stands before the architecture's names in the checkpoint
	stored map[string]string // initializer -> its tensor in the checkpoint
	files  closers           // behind the weights

	changed      map[string]bool // initializers that hold other values than were opened
	parent       string          // hash of what was opened, once a weight has changed
	adapter      string          // the adapter that was merged when the model was opened; "": none
	unnormalized bool            // the graph leaves out the normalization that Modules names
	options      OpenOptions     // what the graph was built under
	begin, end   *bool           // AddBOSToken and AddEOSToken of the options
	vocabulary   *Vocabulary     // the tokens that stayed when others were taken out; nil: all
}

// Close closes the files behind the graph's weights, which cannot be read any more.
func (m *Model) Close() error { return m.files.Close() }

// OpenOptions says how to read a model where its directory leaves a choice.
type OpenOptions struct {
	ONNX      bool   // take onnx/model.onnx where there is one, not the checkpoint
	Variant   string // take onnx/model_<variant>.onnx
	Tokenizer string // path of a tokenizer.json that is not in the directory

	Pooling       string            // a PoolingMode's name, several joined by "+"; "": as the directory says, else mean
	Normalize     *bool             // nil: as the directory says, else true
	MaxLength     int               // 0: as the directory says
	UpToLength    int               // replaces what the directory says, as far as the model has positions; 0: nothing
	Prompts       map[string]string // replace those of the directory, by key
	Suffixes      map[string]string // the same
	Similarity    string            // cosine or dot; "": as the directory says
	PairTitles    bool              // documents are pairs, whatever the directory says
	TaskType      int               // ernie: the task type of all tokens
	Bidirectional bool              // decoders: attend to all real tokens
	HiddenStates  bool              // add the outputs hidden_states.0 (the embeddings), .1, … (the blocks)
	Hub           *Hub              // where hf:… is found; nil: as the environment says
	Context       context.Context   // ends what is fetched; nil: context.Background()

	// Adapter is a LoRA adapter in PEFT's format to merge: a directory or hf:org/name[@revision].
	Adapter string
	// AddBOSToken and AddEOSToken, when one is set, replace what tokenizer.json puts around a text by the begin and the end token; Save
	// writes it so. Who tokenizes with the file as it is must do the same.
	AddBOSToken, AddEOSToken *bool
	// Unnormalized leaves the normalization out of the graph, as training wants it: sentence_embedding
	// is the vector before it. Modules says what the directory says, and Save writes it.
	Unnormalized bool
}

// Open reads a model: a directory with a checkpoint or an ONNX file, a bare .onnx or .gguf file, a LoRA
// adapter in PEFT's format (its base model is opened and the adapter merged), or
// hf:org/name[@revision]. Close it when its weights are not needed any more.
func Open(path string, o OpenOptions) (*Model, error) {
	m, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("read model %q: %w", path, err)
	}
	if most := m.Sizes.Positions; most > 0 && o.MaxLength > most {
		m.Close()
		return nil, fmt.Errorf("read model %q: texts of %d tokens are asked for: the model takes %d at most (max_position_embeddings in config.json)",
			path, o.MaxLength, most)
	}
	m.Path = path
	return m, nil
}

func open(path string, o OpenOptions) (*Model, error) {
	path, err := o.fetch(path)
	if err != nil {
		return nil, err
	}
	if o.Adapter != "" || isAdapter(path) {
		return openAdapted(path, o)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, errors.Unwrap(err) // the path is named already
	case !info.IsDir():
		switch strings.ToLower(filepath.Ext(path)) {
		case ".onnx":
			return openONNX(modelDir(path), path, o)
		case ".gguf":
			return openCheckpoint(path, o)
		}
		return nil, errors.New("is neither a directory nor an .onnx or .gguf file")
	}
	if file, err := onnxFile(path, o); err != nil || file != "" {
		if err != nil {
			return nil, err
		}
		return openONNX(path, file, o)
	}
	return openCheckpoint(path, o)
}

// fetch is the folder of hf:… in the cache, after downloading what it lacks, or of org/name where the cache has it and no folder is named
// so; any other path is itself.
func (o OpenOptions) fetch(path string) (string, error) {
	name, ok := strings.CutPrefix(path, "hf:")
	if !ok && (exists(path) || !hubName.MatchString(path)) {
		return path, nil
	}
	if o.Hub == nil {
		o.Hub = HubFromEnv(os.Getenv)
	}
	hub, ctx := *o.Hub, cmp.Or(o.Context, context.Background())
	if !ok { // org/name, as other libraries write it: from the cache alone, for it may be a mistyped path
		hub.Offline = true
		if dir, err := hub.Fetch(ctx, path); err == nil {
			return dir, nil
		}
		return "", fmt.Errorf("%w; on the hub it is hf:%s", fs.ErrNotExist, path)
	}
	if o.Variant != "" {
		file := "onnx/model_" + o.Variant + ".onnx"
		hub.Extra = []string{file, file + "_data", file + ".data"}
	}
	return hub.Fetch(ctx, name)
}

// modelDir is the model directory that an ONNX file belongs to: the one above onnx/, else its own.
func modelDir(file string) string {
	dir := filepath.Dir(file)
	if filepath.Base(dir) == "onnx" {
		return filepath.Dir(dir)
	}
	return dir
}

// onnxFile is the ONNX file to take from a directory, "" where the checkpoint is to be taken.
func onnxFile(dir string, o OpenOptions) (string, error) {
	if o.Variant != "" {
		file := filepath.Join(dir, "onnx", "model_"+o.Variant+".onnx")
		if !exists(file) {
			return "", fmt.Errorf("variant %q: no file %s; there are: %q", o.Variant, filepath.Join("onnx", filepath.Base(file)), Variants(dir))
		}
		return file, nil
	}
	for _, name := range []string{filepath.Join("onnx", "model.onnx"), "model.onnx"} {
		if file := filepath.Join(dir, name); exists(file) && (o.ONNX || !hasCheckpoint(dir)) {
			return file, nil
		}
	}
	return "", nil
}

// Variants names the onnx/model_<variant>.onnx files of a model directory.
func Variants(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "onnx", "model_*.onnx")) // the pattern is well-formed
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "model_"), ".onnx"))
	}
	return names
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

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
	if m.Tokenizer = o.Tokenizer; m.Tokenizer == "" {
		if file := filepath.Join(dir, "tokenizer.json"); exists(file) {
			m.Tokenizer = file
		}
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
		ModelType string `json:"model_type"`
	}
	if err := lines.Unmarshal(m.Config, &head); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	arch, err := archOf(head.ModelType)
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

type closers []io.Closer

func (c closers) Close() error {
	var err error
	for _, one := range slices.Backward(c) {
		err = errors.Join(err, one.Close())
	}
	return err
}

func hasCheckpoint(dir string) bool {
	for _, name := range checkpointFiles {
		if exists(filepath.Join(dir, name)) {
			return true
		}
	}
	file, _, err := translated(dir)
	return file != "" || err != nil
}
