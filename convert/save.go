package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/lines"
)

// SaveOptions says how a model directory is written.
type SaveOptions struct {
	pass.LowerOptions        // the form of the ONNX file
	Lowered           bool   // the graph is written as it stands: it was lowered, or is somebody else's
	External          bool   // weights go to a file beside the ONNX file, whatever their size
	NoONNX            bool   // leave onnx/ out where there is a checkpoint; a model that came as ONNX has it in any case
	KeepDType         bool   // round weights that changed to the checkpoint's element types; else they are float32
	ShardSize         int64  // most bytes of a file of the checkpoint where it is written anew; 0: 5 GB
	Variant           string // add onnx/model_<variant>.onnx to the directory instead of making one
	Overwrite         bool   // replace what is there
	Step              Step   // what made the model; Version and Parent are filled in where they are empty
	Version           string // of the tool

	Progress func(done, total int64) // called as the weights of the ONNX file are written, in bytes; nil: nobody is told
}

// Save writes m as a model directory (or, with a variant, into one). The directory appears under its
// name when all of it is written; if anything fails before, nothing has changed and nothing is
// left. It returns what a user should know.
//
// A directory that is made holds config.json as it was, the checkpoint under its own names
// (linked or copied; safetensors written anew where it was a pickle or SetWeights changed it), the
// tokenizer's files, what sentence-transformers reads, onnx/model.onnx and graft.json.
func Save(ctx context.Context, dir string, m *Model, o SaveOptions) (warnings []string, err error) {
	s := &saver{ctx: ctx, model: m, SaveOptions: o}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("write model: %w", err)
	}
	switch {
	case m.checkMerged() != nil:
		err = m.checkMerged()
	case o.Variant != "":
		err = s.addVariant(dir)
	default:
		err = s.makeDir(dir, s.config, s.weights, s.tokenizer, s.modules, s.onnxModel)
	}
	if err != nil {
		return s.warnings, fmt.Errorf("write model %q: %w", dir, err)
	}
	return s.warnings, nil
}

type saver struct {
	SaveOptions
	ctx      context.Context
	model    *Model
	dir      string // where files go: a sibling of the directory until all is written
	warnings []string
}

func (s *saver) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// makeDir writes the whole directory, by steps, beside its place and moves it there.
func (s *saver) makeDir(dir string, steps ...func() error) (err error) {
	if err := s.mayReplace(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return err
	}
	s.dir, err = os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".partial-")
	if err != nil {
		return lines.In(filepath.Dir(dir), err)
	}
	defer os.RemoveAll(s.dir) // gone already where it was moved
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	if err := s.completeStep(); err != nil {
		return err
	}
	for _, step := range steps {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	if err := writeSteps(s.dir, append(append([]Step{}, s.model.Steps...), s.Step)); err != nil {
		return err
	}
	return replace(s.dir, dir)
}

// CheckOutput tells, before a model is made that takes time to make, whether Save could write it to dir.
func CheckOutput(dir string, o SaveOptions) error {
	err := o.checkOutput(dir)
	if err != nil {
		return fmt.Errorf("write model %q: %w", dir, err)
	}
	return nil
}

func (o SaveOptions) checkOutput(dir string) error {
	s := &saver{SaveOptions: o}
	above := dir
	if o.Variant == "" {
		if err := s.mayReplace(dir); err != nil {
			return err
		}
		above = filepath.Dir(dir)
	} else if file := filepath.Join(dir, s.file()); exists(file) && !o.Overwrite {
		return fmt.Errorf("%s exists already: %w", s.file(), fs.ErrExist)
	}
	for !exists(above) && filepath.Dir(above) != above {
		above = filepath.Dir(above)
	}
	probe, err := os.MkdirTemp(above, ".graft-*")
	if err != nil {
		return lines.In(above, err)
	}
	return os.Remove(probe)
}

// mayReplace refuses to write over what is there, unless it is empty, or a model that may be replaced.
func (s *saver) mayReplace(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return err
	case !s.Overwrite:
		return fmt.Errorf("it exists already: %w", fs.ErrExist)
	}
	for _, name := range []string{provenanceFile, "config.json", "modules.json", adapterConfigFile, "onnx"} {
		if exists(filepath.Join(dir, name)) {
			return nil
		}
	}
	return errors.New("it exists and is not a model directory, so it is not replaced")
}

// replace moves a directory to its place; what was there is removed last.
func replace(from, to string) error {
	old := from + ".old"
	if err := os.Rename(to, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return errors.Join(err, os.Rename(old, to))
	}
	return os.RemoveAll(old)
}

// addVariant writes one ONNX file into a model directory and its step into graft.json.
func (s *saver) addVariant(dir string) error {
	if strings.ContainsAny(s.Variant, `/\`) {
		return fmt.Errorf("variant %q: a name, not a path", s.Variant)
	}
	if s.model.vocabulary != nil {
		return errors.New("a variant shares the directory's tokenizer, which has other tokens")
	}
	s.dir = dir
	if file := filepath.Join(dir, s.file()); exists(file) && !s.Overwrite {
		return fmt.Errorf("%s exists already: %w", s.file(), fs.ErrExist)
	}
	steps, err := readSteps(dir)
	if err != nil {
		return err
	}
	if err := s.completeStep(); err != nil {
		return err
	}
	if err := s.onnxModel(); err != nil {
		return err
	}
	return writeSteps(dir, append(steps, s.Step))
}

// file is the ONNX file's place in the directory.
func (s *saver) file() string {
	name := "model.onnx"
	if s.Variant != "" {
		name = "model_" + s.Variant + ".onnx"
	}
	return filepath.Join("onnx", name)
}

// completeStep says in the step what made it, and of what.
func (s *saver) completeStep() (err error) {
	if s.Step.Version == "" {
		s.Step.Version = s.Version
	}
	s.Step.Variant = s.Variant
	if s.Step.Parent == "" {
		s.Step.Parent = s.model.parent
	}
	if s.Step.Parent == "" {
		s.Step.Parent, err = s.model.Hash()
	}
	return err
}

// onnxModel writes the graph in the form asked for.
func (s *saver) onnxModel() error {
	if s.NoONNX && s.model.source != nil {
		return nil
	}
	m := s.model.Graph.Clone()
	if s.model.unnormalized {
		if err := s.model.normalize(m); err != nil {
			return err
		}
	}
	if !s.Lowered {
		if s.model.source == nil { // from an ONNX file, in whatever form it was written
			if _, err := pass.Raise(m); err != nil {
				return err
			}
		}
		if err := pass.Lower(m, s.LowerOptions); err != nil {
			return err
		}
		if err := pass.Simplify(m); err != nil {
			return err
		}
	}
	meta, err := s.model.Modules.metadata(s.Version, s.Step.Parent)
	if err != nil {
		return err
	}
	for _, p := range meta {
		m.SetMeta(p.Key, p.Value)
	}
	m.ProducerName, m.ProducerVersion = "graft", s.Version
	w := &watched{ctx: s.ctx, report: s.Progress}
	m.Graph.WalkGraphs(func(g *graph.Graph) {
		for _, v := range g.Initializers {
			if v.Init.Data != nil {
				w.total += v.Init.Data.Size()
				v.Init.Data = watchedData{v.Init.Data, w}
			}
		}
	})
	path := filepath.Join(s.dir, s.file())
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return onnx.Write(path, m, onnx.Options{External: s.External})
}

func (s *saver) config() error {
	if s.model.Config == nil {
		s.warn("there is no config.json, which optimum and sentence-transformers need")
		return nil
	}
	config := s.model.Config
	if len(s.model.changed) > 0 && !s.KeepDType {
		var err error
		if config, err = inFloat32(config); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(s.dir, "config.json"), config, 0o666)
}

// inFloat32 is a config whose element type, where it names one, is float32.
func inFloat32(config json.RawMessage) (json.RawMessage, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(config, &keys); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	for _, key := range []string{"dtype", "torch_dtype"} { // of transformers 5 and 4
		old, ok := keys[key]
		if !ok || string(old) == `"float32"` {
			continue
		}
		var err error
		if config, err = withKey(config, key, "float32"); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// linkAll puts files of the model's directory into the new one, by their relative paths.
func (s *saver) linkAll(names []string) error {
	for _, name := range names {
		if err := s.link(filepath.Join(s.model.Dir, name), name); err != nil {
			return err
		}
	}
	return nil
}

// linkFrom is the size in bytes from which files are linked, not copied: those that nobody edits by hand.
const linkFrom = 1 << 20

// link puts a file into the directory: for a large one a second name for the same data where the
// file system can, else a copy. A file behind a symbolic link (as in the hub's cache) is followed first.
func (s *saver) link(from, name string) error {
	to := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(from); err == nil {
		from = real
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if info, err := in.Stat(); err == nil && info.Size() >= linkFrom && os.Link(from, to) == nil {
		return nil
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(stoppableWriter{s.ctx, out}, in)
	return errors.Join(err, out.Close())
}

// modules writes what sentence-transformers reads, in the layout that its versions 2 to 6 load.
func (s *saver) modules() error {
	files := s.model.Modules.files(s.model.Sizes.Hidden)
	settings := map[string]any{}
	if err := readOptional(s.model.Dir, stConfigFile, &settings); err != nil {
		return err
	}
	s.model.Modules.settings(settings)
	files[stConfigFile] = settings
	for name, v := range files {
		path := filepath.Join(s.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := writeJSON(path, v); err != nil {
			return err
		}
	}
	if err := s.truncation(); err != nil {
		return err
	}
	return s.dense()
}
