package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/pass"
)

// NewAdapter makes an adapter of what training left of the tensors that pass.InsertLoRA(o) added to
// the model's graph, or to a copy of it, under the names that they have there.
func (m *Model) NewAdapter(o pass.LoRAOptions, weights []*graph.Tensor) (*Adapter, error) {
	a, err := m.newAdapter(o, weights)
	if err != nil {
		return nil, fmt.Errorf("make adapter: %w", err)
	}
	return a, nil
}

func (m *Model) newAdapter(o pass.LoRAOptions, weights []*graph.Tensor) (*Adapter, error) {
	a := &Adapter{Rank: o.Rank, Alpha: o.Alpha, RSLoRA: o.RSLoRA, Dropout: o.Dropout}
	switch name, hub := strings.CutPrefix(m.Path, "hf:"); {
	case m.adapter != "":
		return nil, fmt.Errorf("the model is the adapter %q over its base, which no adapter can name; export it first", m.adapter)
	case hub:
		a.Base, a.Revision, _ = strings.Cut(name, "@")
	default:
		var err error
		if a.Base, err = filepath.Abs(m.Path); err != nil {
			return nil, err
		}
	}
	byName := map[string]*graph.Tensor{}
	var names []string
	for _, t := range weights {
		byName[t.Name] = t
		names = append(names, t.Name)
	}
	var err error
	if a.Modules, err = pairs(names, func(name string) *graph.Tensor { return byName[name] }); err != nil {
		return nil, err
	}
	for i := range a.Modules {
		l := &a.Modules[i]
		if slices.ContainsFunc(m.Modules.Dense, func(d Dense) bool { return strings.HasPrefix(l.Module, d.Dir+".") }) {
			return nil, fmt.Errorf("module %q stands behind the transformer, where PEFT has no adapters", l.Module)
		}
		l.Module = strings.TrimPrefix(l.Module, m.prefix)
		l.Scale, l.Dropout = o.Scale(), o.Dropout
	}
	return a, nil
}

// SaveAdapter writes an adapter of m in PEFT's format, with the tokenizer's files and what
// sentence-transformers reads, so that the directory is a model for Open and for these libraries. Of o it takes Overwrite,
// Step and Version. The directory appears under its name when all of it is written.
func SaveAdapter(ctx context.Context, dir string, m *Model, a *Adapter, o SaveOptions) (warnings []string, err error) {
	if m.options.Bidirectional {
		options := map[string]any{bidirectionalKey: true}
		maps.Copy(options, o.Step.Options)
		o.Step.Options = options
	}
	s := &saver{ctx: ctx, model: m, SaveOptions: o}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("write adapter: %w", err)
	}
	writeConfig := func() error { return writeJSON(filepath.Join(s.dir, adapterConfigFile), a.config(m)) }
	writeWeights := func() error { return s.adapterWeights(a) }
	if err = s.makeDir(dir, writeConfig, writeWeights, s.tokenizer, s.modules); err != nil {
		return s.warnings, fmt.Errorf("write adapter %q: %w", dir, err)
	}
	return s.warnings, nil
}

// bidirectionalKey is the option of a step that says how the base of an adapter was opened. PEFT's file has no place for it.
const bidirectionalKey = "bidirectional"

// attendsBothWays reports whether the adapter with these steps was made for a base whose tokens attend in both directions.
func attendsBothWays(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Options[bidirectionalKey] == true })
}

// config is the content of adapter_config.json.
func (a *Adapter) config(m *Model) map[string]any {
	var revision any
	if a.Revision != "" {
		revision = a.Revision
	}
	return map[string]any{
		"peft_type": "LORA", "task_type": "FEATURE_EXTRACTION",
		"base_model_name_or_path": a.Base, "revision": revision,
		"r": a.Rank, "lora_alpha": a.Alpha, "lora_dropout": a.Dropout, "use_rslora": a.RSLoRA,
		"target_modules": a.targetModules(m),
		"bias":           "none", "fan_in_fan_out": false, "init_lora_weights": true, "inference_mode": true,
		"modules_to_save": nil, "rank_pattern": map[string]any{}, "alpha_pattern": map[string]any{},
	}
}

// targetModules are the fewest last parts of names by which PEFT finds the adapter's modules in the
// base and no others; the whole names where a part would.
func (a *Adapter) targetModules(m *Model) []string {
	var own, others []string
	for _, l := range a.Modules {
		own = append(own, l.Module)
	}
	for _, name := range pass.LinearModules(m.Graph.Graph) {
		if name = strings.TrimPrefix(name, m.prefix); !slices.Contains(own, name) {
			others = append(others, name)
		}
	}
	for _, name := range m.Unused { // modules that the graph leaves out and the library's class may have
		if module, ok := strings.CutSuffix(name, ".weight"); ok {
			others = append(others, strings.TrimPrefix(module, m.prefix))
		}
	}
	var targets []string
	for _, name := range own {
		parts := strings.Split(name, ".")
		for n := 1; n <= len(parts); n++ {
			end := strings.Join(parts[len(parts)-n:], ".")
			if n == len(parts) || !slices.ContainsFunc(others, func(o string) bool { return o == end || strings.HasSuffix(o, "."+end) }) {
				if !slices.Contains(targets, end) {
					targets = append(targets, end)
				}
				break
			}
		}
	}
	slices.Sort(targets)
	return targets
}

// adapterWeights writes the adapter's tensors under PEFT's names, as float32.
func (s *saver) adapterWeights(a *Adapter) error {
	var list []checkpointTensor
	add := func(name string, t *graph.Tensor) error {
		if floatNames[t.DType] == "" {
			return fmt.Errorf("tensor %q: %v, want floating-point numbers", name, t.DType)
		}
		data := castTensor(t, graph.Float).Data
		list = append(list, checkpointTensor{safetensors.Entry{Name: name, DType: safetensors.F32, Shape: t.Shape},
			func(w io.Writer) error { _, err := data.WriteTo(w); return err }})
		return nil
	}
	for _, l := range a.Modules {
		if err := errors.Join(add(pass.LoRAPrefix+l.Module+pass.LoRAA, l.A), add(pass.LoRAPrefix+l.Module+pass.LoRAB, l.B)); err != nil {
			return err
		}
	}
	return s.writeFile(adapterWeightsFile, list)
}
