package convert

import (
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

// Modules is what follows the transformer and surrounds it, as sentence-transformers describes a
// model: how tokens are pooled, what is done to the vector, which prompts stand before a text.
type Modules struct {
	Pooling       []PoolingMode
	PromptPooling PromptPooling // whether the prompt's tokens are pooled
	PlainMean     bool          // the mean is of the transformer's tokens, though the model has a head that pools (NV-Embed)
	Dense         []Dense
	Truncate      int  // the vector is cut to its first features (Kusupati et al. 2022, Matryoshka); 0: it is whole
	Normalize     bool // the vector has length 1
	TruncateDim   int  // truncate_dim of sentence-transformers: only so many features are given, of whatever length they then have; 0: all

	MaxLength     int               // in tokens, special ones included; 0: not known
	LowerCase     bool              // texts are lowered before they are tokenized
	Prompts       map[string]string // text that is put before a query, a document, …
	Suffixes      map[string]string // text that is put after a query, a document; sentence-transformers has no such thing
	DefaultPrompt string            // the key in Prompts that is used where none is named; "": none
	Similarity    string            // similarity_fn_name: cosine, dot, …; "": cosine
	PairTitles    bool              // a document is a pair, its title and its text, to the tokenizer

	Found bool // the directory had a modules.json
}

// Dense is a layer over the pooled vector.
type Dense struct {
	Dir        string `json:"-"` // its folder in the model directory, which is its weights' prefix
	In         int    `json:"in_features"`
	Out        int    `json:"out_features"`
	Bias       bool   `json:"bias"`
	Activation string `json:"activation_function"` // a class of torch.nn, by its full name
}

// denseActivations are the torch.nn classes of a Dense module and the names of graph.Builder.
var denseActivations = map[string]string{
	"Identity": "", "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "SiLU": "silu", "Sigmoid": "sigmoid",
}

// readModules reads modules.json and the folders that it names, in the layouts of
// sentence-transformers 2 to 6. A directory without it is a plain transformer.
func readModules(dir string) (Modules, error) {
	m := Modules{Prompts: map[string]string{}, Suffixes: map[string]string{}}
	var list []struct {
		Path string `json:"path"`
		Type string `json:"type"`
	}
	err := readJSON(dir, "modules.json", &list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	m.Found = err == nil
	for _, module := range list {
		kind := module.Type[strings.LastIndexByte(module.Type, '.')+1:]
		read, ok := moduleKinds[kind]
		if !ok {
			return m, fmt.Errorf("modules.json: module %q has the type %q; known: Transformer, Pooling, Dense, Dropout, Normalize", module.Path, module.Type)
		}
		if !filepath.IsLocal(filepath.FromSlash(module.Path)) && module.Path != "" {
			return m, fmt.Errorf("modules.json: path %q leads out of the directory", module.Path)
		}
		if err := read(&m, dir, module.Path); err != nil {
			return m, err
		}
	}
	if m.Found && len(m.Pooling) == 0 {
		return m, errors.New("modules.json: no Pooling module")
	}
	return m, m.readSettings(dir)
}

// moduleKinds read each kind of module, by the last part of its type.
var moduleKinds = map[string]func(m *Modules, dir, path string) error{
	"Transformer": func(m *Modules, _, path string) error {
		if path != "" {
			return fmt.Errorf("modules.json: the transformer is in the folder %q; only the model directory itself is known", path)
		}
		return nil
	},
	"Pooling":   (*Modules).readPooling,
	"Dense":     (*Modules).readDense,
	"Normalize": func(m *Modules, _, _ string) error { m.Normalize = true; return nil },
	"Dropout":   func(*Modules, string, string) error { return nil }, // in training alone
}

func (m *Modules) readPooling(dir, path string) error {
	name := path + "/config.json"
	var config map[string]json.RawMessage
	if err := readJSON(dir, name, &config); err != nil {
		return err
	}
	if string(config["include_prompt"]) == "false" {
		m.PromptPooling = PromptOut
	}
	var names []string
	if raw, ok := config["pooling_mode"]; ok {
		var one string
		if json.Unmarshal(raw, &one) == nil {
			names = []string{one}
		} else if err := json.Unmarshal(raw, &names); err != nil {
			return fmt.Errorf("%s: pooling_mode: %w", name, err)
		}
	} else {
		for _, mode := range poolingModes {
			if raw, ok := config[mode.old]; ok && string(raw) == "true" {
				names = append(names, mode.Name)
			}
		}
		if len(names) == 0 {
			names = []string{"mean"}
		}
	}
	m.Pooling = nil
	for _, n := range names {
		mode, err := poolingMode(n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m.Pooling = append(m.Pooling, mode)
	}
	return nil
}

func (m *Modules) readDense(dir, path string) error {
	d := Dense{Dir: path, Bias: true, Activation: "torch.nn.modules.activation.Tanh"}
	var config struct {
		*Dense
		Residual bool   `json:"use_residual"`
		Input    string `json:"module_input_name"`
		Output   string `json:"module_output_name"`
	}
	config.Dense = &d
	name := path + "/config.json"
	if err := readJSON(dir, name, &config); err != nil {
		return err
	}
	if config.Residual || len(m.Pooling) == 0 || m.Normalize ||
		config.Input != "" && config.Input != "sentence_embedding" || config.Output != "" && config.Output != "sentence_embedding" {
		return fmt.Errorf("%s: only Dense modules between Pooling and Normalize, without residual, are supported", name)
	}
	if _, err := d.activation(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	m.Dense = append(m.Dense, d)
	return nil
}

// activation is graph.Builder's name for the layer's activation, "" for none.
func (d Dense) activation() (string, error) {
	class := d.Activation[strings.LastIndexByte(d.Activation, '.')+1:]
	name, ok := denseActivations[class]
	if !ok || !strings.HasPrefix(d.Activation, "torch.nn.") {
		return "", fmt.Errorf("activation_function %q is not known", d.Activation)
	}
	return name, nil
}

// readSettings reads the maximum length, the case and the prompts.
func (m *Modules) readSettings(dir string) error {
	var transformer struct {
		MaxLength int  `json:"max_seq_length"`
		LowerCase bool `json:"do_lower_case"`
	}
	if err := readOptional(dir, "sentence_bert_config.json", &transformer); err != nil {
		return err
	}
	m.MaxLength, m.LowerCase = transformer.MaxLength, transformer.LowerCase
	if m.MaxLength == 0 {
		var tokenizer struct {
			MaxLength float64 `json:"model_max_length"` // 1e30 stands for none
		}
		if err := readOptional(dir, "tokenizer_config.json", &tokenizer); err != nil {
			return err
		}
		if tokenizer.MaxLength < 1<<30 {
			m.MaxLength = int(tokenizer.MaxLength)
		}
	}
	var st struct {
		Prompts       map[string]string `json:"prompts"`
		Suffixes      map[string]string `json:"graft_suffixes"`
		PairTitles    bool              `json:"graft_pair_titles"`
		PromptPooling PromptPooling     `json:"graft_prompt_pooling"`
		PlainMean     bool              `json:"graft_plain_mean"`
		DefaultPrompt *string           `json:"default_prompt_name"`
		Similarity    *string           `json:"similarity_fn_name"`
		TruncateDim   *int              `json:"truncate_dim"`
	}
	if err := readOptional(dir, "config_sentence_transformers.json", &st); err != nil {
		return err
	}
	for name, prompt := range st.Prompts {
		m.Prompts[name] = prompt
	}
	maps.Copy(m.Suffixes, st.Suffixes)
	m.PairTitles, m.PlainMean = st.PairTitles, st.PlainMean
	if m.PromptPooling != PromptPooled && st.PromptPooling != "" {
		m.PromptPooling = st.PromptPooling
	}
	if name := st.DefaultPrompt; name != nil && *name != "" {
		if _, ok := m.Prompts[*name]; !ok && *name != "query" && *name != "document" { // these two are always there, empty
			return fmt.Errorf("%s: default_prompt_name %q is not one of the prompts", stConfigFile, *name)
		}
		m.DefaultPrompt = *name
	}
	if st.TruncateDim != nil {
		if m.TruncateDim = *st.TruncateDim; m.TruncateDim < 1 {
			return fmt.Errorf("%s: truncate_dim is %d", stConfigFile, m.TruncateDim)
		}
	}
	if st.Similarity != nil {
		m.Similarity = *st.Similarity
	}
	return nil
}

// embed ends a graph with the modules: the vectors of tokens, of so many features, give the text's
// vector [batch, result].
func (m *Modules) embed(b *graph.Builder, opset int64, tokens tokenVectors, features int) (v *graph.Value, result int) {
	p := newPooler(b, opset, tokens)
	v, result = p.apply(m.Pooling), features*len(m.Pooling)
	for _, d := range m.Dense {
		if d.In != result {
			b.Errorf("%s: in_features is %d, but the vector before it has %d", d.Dir, d.In, result)
		}
		v = linear(b, d.Dir+".linear", v, d.In, d.Out, d.Bias)
		if name, _ := d.activation(); name != "" {
			v = b.Activation(name, v)
		}
		result = d.Out
	}
	if m.Truncate > 0 {
		v, result = b.Slice(v, -1, 0, int64(m.Truncate)), m.Truncate
	}
	if m.Normalize {
		v = p.normalize(v)
	}
	if m.TruncateDim > 0 && m.TruncateDim < result {
		v, result = b.Slice(v, -1, 0, int64(m.TruncateDim)), m.TruncateDim
	}
	return v, result
}

// PoolingName joins the names of the poolings, as on the command line.
func (m *Modules) PoolingName() string {
	var names []string
	for _, p := range m.Pooling {
		names = append(names, p.Flag)
	}
	return strings.Join(names, "+")
}

// readJSON reads a file of the directory into v.
func readJSON(dir, name string, v any) error {
	raw, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	if err := lines.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readOptional is readJSON where the file need not be there.
func readOptional(dir, name string, v any) error {
	if err := readJSON(dir, name, v); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
