package convert

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"

	"graft/graph"
	"graft/graph/pass"
)

// The files of an adapter in the format of Hugging Face's PEFT.
const (
	adapterConfigFile  = "adapter_config.json"
	adapterWeightsFile = "adapter_model.safetensors"
	adapterPickleFile  = "adapter_model.bin"
)

// adapterFiles are the files with an adapter's weights, of PEFT and of PaddleNLP.
var adapterFiles = []string{adapterWeightsFile, adapterPickleFile, paddleLoRAWeights, paddleLoRASafe, paddleLoRAIndex}

// Adapter is a LoRA adapter: what training adds to some linear modules of a base model.
type Adapter struct {
	Dir      string // where it was read from; "" where it was made
	Base     string // base_model_name_or_path: a path, or a name on the hub
	Revision string // of Base on the hub; "": main

	Rank    int
	Alpha   float64
	RSLoRA  bool
	Dropout float64
	Modules []pass.LoRA // by module, named as in the file: in the base as transformers' AutoModel loads it

	files closers
}

// Close closes the file behind the adapter's weights, which cannot be read any more.
func (a *Adapter) Close() error { return a.files.Close() }

// adapterConfig are the fields of adapter_config.json that say what the adapter computes.
type adapterConfig struct {
	Type         string             `json:"peft_type"`
	Base         string             `json:"base_model_name_or_path"`
	Revision     *string            `json:"revision"`
	Rank         int                `json:"r"`
	Alpha        float64            `json:"lora_alpha"`
	AlphaPattern map[string]float64 `json:"alpha_pattern"`
	RSLoRA       bool               `json:"use_rslora"`
	Dropout      float64            `json:"lora_dropout"`
	Bias         string             `json:"bias"`
	Init         any                `json:"init_lora_weights"`
}

// adapterRefused are the fields that make an adapter more, or other, than W + scale·B·A, where they are set.
// rank_pattern is not among them: the tensors say each module's rank.
var adapterRefused = []string{
	"modules_to_save", "fan_in_fan_out", "use_dora", "use_qalora", "use_bdlora", "lora_bias", "layer_replication",
	"target_parameters", "trainable_token_indices", "alora_invocation_tokens", "arrow_config", "megatron_config",
	"kasa_config", "velora_config", "monteclora_config",
}

// adapterInits are the values of init_lora_weights, beside true and false, that leave the base as it is.
// Others (pissa, olora, corda, …) subtract the adapter's first values from the base's weights.
var adapterInits = []any{nil, true, false, "gaussian", "eva", "orthogonal"}

// ReadAdapter reads the adapter in a directory, in PEFT's format or PaddleNLP's. Weights stay in their file until it is closed.
func ReadAdapter(dir string) (*Adapter, error) {
	a, err := readAdapter(dir)
	if err != nil {
		return nil, fmt.Errorf("read adapter %q: %w", dir, err)
	}
	return a, nil
}

func readAdapter(dir string) (*Adapter, error) {
	a := &Adapter{Dir: dir}
	read := a.readPEFT
	if isPaddleAdapter(dir) {
		read = a.readPaddle
	}
	if err := read(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Adapter) readPEFT() error {
	config, err := a.readConfig()
	if err == nil {
		err = a.readWeights(config)
	}
	return err
}

func (a *Adapter) readConfig() (*adapterConfig, error) {
	c := &adapterConfig{Type: "LORA", Bias: "none"}
	var fields map[string]any
	if err := cmp.Or(readJSON(a.Dir, adapterConfigFile, c), readJSON(a.Dir, adapterConfigFile, &fields)); err != nil {
		return nil, err
	}
	refuse := func(field string, value any) error {
		return fmt.Errorf("%s: %s is %v, which is not supported", adapterConfigFile, field, value)
	}
	for _, name := range adapterRefused {
		if isSet(fields[name]) {
			return nil, refuse(name, fields[name])
		}
	}
	switch {
	case c.Type != "LORA":
		return nil, refuse("peft_type", c.Type)
	case c.Bias != "none":
		return nil, refuse("bias", c.Bias)
	case !slices.Contains(adapterInits, c.Init):
		return nil, refuse("init_lora_weights", c.Init)
	case c.Rank < 1 || !(c.Alpha > 0):
		return nil, fmt.Errorf("%s: r is %d and lora_alpha %g, want numbers above 0", adapterConfigFile, c.Rank, c.Alpha)
	}
	a.Base, a.Rank, a.Alpha, a.RSLoRA, a.Dropout = c.Base, c.Rank, c.Alpha, c.RSLoRA, c.Dropout
	if c.Revision != nil {
		a.Revision = *c.Revision
	}
	return c, nil
}

// isSet reports whether a field of a config is more than its absence.
func isSet(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}

// loraTensor is a tensor's name in an adapter; early files name the adapter before ".weight".
var loraTensor = regexp.MustCompile(`^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$`)

// readWeights pairs the tensors by module and gives each its scale.
func (a *Adapter) readWeights(c *adapterConfig) error {
	s, err := openTensors(filepath.Join(a.Dir, adapterWeightsFile), filepath.Join(a.Dir, adapterPickleFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no weights: the directory has neither %s nor %s: %w", adapterWeightsFile, adapterPickleFile, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	a.files = closers{s}
	if a.Modules, err = pairs(s.names(), func(name string) *graph.Tensor { return s.tensors[name] }); err != nil {
		return err
	}
	for i := range a.Modules {
		m := &a.Modules[i]
		alpha, err := c.alpha(m.Module)
		if err != nil {
			return fmt.Errorf("%s: %w", adapterConfigFile, err)
		}
		m.Dropout = c.Dropout
		m.Scale = alpha / float64(m.A.Shape[0])
		if c.RSLoRA {
			m.Scale = alpha / math.Sqrt(float64(m.A.Shape[0]))
		}
	}
	return nil
}

// alpha is a module's: lora_alpha, or what the pattern that its name ends with says instead.
func (c *adapterConfig) alpha(module string) (float64, error) {
	alpha, by := c.Alpha, ""
	for _, pattern := range slices.Sorted(maps.Keys(c.AlphaPattern)) {
		re, err := regexp.Compile(`^(.*\.)?(` + pattern + `)$`)
		if err != nil {
			return 0, fmt.Errorf("alpha_pattern: %w", err)
		}
		if own := c.AlphaPattern[pattern]; re.MatchString(module) {
			if by != "" && own != alpha {
				return 0, fmt.Errorf("alpha_pattern: %q and %q both match the module %q", by, pattern, module)
			}
			alpha, by = own, pattern
		}
	}
	return alpha, nil
}

// pairs joins tensors named as PEFT names them into a LoRA for each module, sorted by name.
func pairs(names []string, tensor func(name string) *graph.Tensor) ([]pass.LoRA, error) {
	byModule := map[string]*pass.LoRA{}
	var order []string
	for _, name := range slices.Sorted(slices.Values(names)) {
		parts := loraTensor.FindStringSubmatch(name)
		if parts == nil {
			return nil, fmt.Errorf("tensor %q is not of a linear module's lora_A or lora_B", name)
		}
		module := parts[1]
		if byModule[module] == nil {
			byModule[module] = &pass.LoRA{Module: module}
			order = append(order, module)
		}
		if parts[2] == "A" {
			byModule[module].A = tensor(name)
		} else {
			byModule[module].B = tensor(name)
		}
	}
	var list []pass.LoRA
	for _, module := range order {
		l := byModule[module]
		if l.A == nil || l.B == nil {
			return nil, fmt.Errorf("module %q has only one of lora_A and lora_B", module)
		}
		if len(l.A.Shape) != 2 || l.A.Shape[0] < 1 {
			return nil, fmt.Errorf("module %q: lora_A is %v, want [r in]", module, l.A.Shape)
		}
		list = append(list, *l)
	}
	if len(list) == 0 {
		return nil, errors.New("the adapter has no weights")
	}
	return list, nil
}
