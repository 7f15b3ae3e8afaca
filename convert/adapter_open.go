package convert

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"graft/graph/pass"
)

// IsAdapter reports whether a directory holds a LoRA adapter, of PEFT or of PaddleNLP, and no model.
func IsAdapter(dir string) bool {
	return exists(filepath.Join(dir, adapterConfigFile)) && !exists(filepath.Join(dir, "config.json")) || isPaddleAdapter(dir)
}

// openAdapted opens a model and merges an adapter: the one that o names into the model at path, or
// the one at path into its own base.
func openAdapted(path string, o OpenOptions) (*Model, error) {
	if o.Adapter == "" {
		a, err := readAdapter(path)
		if err != nil {
			return nil, err
		}
		base, err := a.base(o)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("base model of the adapter: %w", err), a.Close())
		}
		m, err := a.openOn(base, o)
		if err != nil {
			return nil, fmt.Errorf("base model %q: %w", base, err)
		}
		return m, nil
	}
	dir, err := OpenOptions{Hub: o.Hub, Context: o.Context}.fetch(o.Adapter)
	if err != nil {
		return nil, err
	}
	a, err := ReadAdapter(dir)
	if err != nil {
		return nil, err
	}
	return a.openOn(path, o)
}

// openOn opens a base model and merges the adapter, whose file the model closes.
func (a *Adapter) openOn(base string, o OpenOptions) (*Model, error) {
	steps, err := readSteps(a.Dir)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	o.Bidirectional = o.Bidirectional || attendsBothWays(steps)
	m, err := a.openBase(base, o)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	m.files = append(m.files, a)
	if err := m.merge(a); err != nil {
		return nil, errors.Join(fmt.Errorf("adapter %q: %w", a.Dir, err), m.Close())
	}
	if len(steps) > 0 {
		m.Steps = steps
	}
	return m, nil
}

func (a *Adapter) openBase(base string, o OpenOptions) (*Model, error) {
	if IsAdapter(base) {
		return nil, errors.New("the adapter's base is an adapter itself; export it first")
	}
	o, err := a.settings(o)
	if err != nil {
		return nil, err
	}
	o.Adapter = ""
	o.ONNX = false // an adapter names the checkpoint's modules, where there is one
	return open(base, o)
}

// hubName is a model's name on the hub.
var hubName = regexp.MustCompile(`^[\w.-]+/[\w.-]+$`)

// base finds the adapter's base model: a path, from the adapter's folder or the working one, or a
// name on the hub.
func (a *Adapter) base(o OpenOptions) (string, error) {
	if a.Base == "" {
		return "", errors.New("its config names none (base_model_name_or_path); open the base and give the adapter beside it")
	}
	if name, ok := strings.CutPrefix(a.Base, "hf:"); ok {
		return o.fetch("hf:" + name)
	}
	if !filepath.IsAbs(a.Base) {
		if beside := filepath.Join(a.Dir, a.Base); exists(beside) {
			return beside, nil
		}
	}
	if exists(a.Base) {
		return a.Base, nil
	}
	if !hubName.MatchString(a.Base) {
		return "", fmt.Errorf("%q: %w; open the base where it is now and give the adapter beside it", a.Base, fs.ErrNotExist)
	}
	name := "hf:" + a.Base
	if a.Revision != "" {
		name += "@" + a.Revision
	}
	return o.fetch(name)
}

// settings are the options with what the adapter's folder says, where it says anything, in the
// place of what the base's folder says.
func (a *Adapter) settings(o OpenOptions) (OpenOptions, error) {
	if o.Tokenizer == "" {
		file, folder, _, err := tokenizerOf(a.Dir)
		if err != nil {
			return o, err
		}
		if folder != "" {
			a.files = append(a.files, folder)
		}
		o.Tokenizer = file
	}
	own, err := readModules(a.Dir)
	if err != nil || !own.Found {
		return o, err
	}
	if o.Pooling == "" {
		o.Pooling = own.PoolingName()
	}
	if o.Normalize == nil {
		o.Normalize = &own.Normalize
	}
	if o.MaxLength == 0 {
		o.MaxLength = own.MaxLength
	}
	maps.Copy(own.Prompts, o.Prompts)
	maps.Copy(own.Suffixes, o.Suffixes)
	o.Prompts, o.Suffixes, o.PairTitles = own.Prompts, own.Suffixes, o.PairTitles || own.PairTitles
	return o, nil
}

// merge adds the adapter to the weights of the model's graph.
func (m *Model) merge(a *Adapter) error {
	if _, err := m.Raise(); err != nil {
		return err
	}
	modules, err := a.onto(m)
	if err != nil {
		return err
	}
	if err := pass.AttachLoRA(m.Graph, modules); err != nil {
		return err
	}
	names, err := pass.MergeLoRA(m.Graph)
	m.changed = map[string]bool{}
	for _, name := range names {
		m.changed[name] = true
	}
	m.adapter, m.File = a.Dir, ""
	return err
}

// onto gives the adapter's modules the names that they have in the model's graph. The adapter
// may have been made with the checkpoint's prefix or without it, or under the names of a class with
// a head: leading parts of a name are left out until a module has the rest.
func (a *Adapter) onto(m *Model) ([]pass.LoRA, error) {
	known := map[string]bool{}
	for _, name := range pass.LinearModules(m.Graph.Graph) {
		known[name] = true
	}
	list := slices.Clone(a.Modules)
	for i := range list {
		full := list[i].Module
		for rest, more := full, true; more; _, rest, more = strings.Cut(rest, ".") {
			if name := m.prefix + rest; known[name] {
				list[i].Module = name
				break
			}
			if known[rest] {
				list[i].Module = rest
				break
			}
		}
		if !known[list[i].Module] {
			return nil, fmt.Errorf("it is for another model: it adapts the module %q, and %q has no such linear module", full, filepath.Base(m.Dir))
		}
	}
	return list, nil
}
