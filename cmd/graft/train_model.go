package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"graft/convert"
	"graft/evaluate"
	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/tokenizer"
	"graft/train"
)

// trainee is the model that is being trained, and what the loop asks of the command on the way.
type trainee struct {
	options  *trainOptions
	progress *trainProgress
	model    *convert.Model
	trained  train.Model
	step     convert.Step // of the provenance
	warned   []string     // by save, which is called often
}

func (t *trainee) warn(text string) { t.progress.say("graft: warning: " + text) }

// openTrainee opens MODEL and settles what depends on it: lengths, prompts, Matryoshka's widths.
func openTrainee(ctx context.Context, o *trainOptions, p *trainProgress) (*trainee, error) {
	if o.train.FineTuneType == "lora" && convert.IsAdapter(o.model) {
		return nil, withHint(usagef("train: %q is an adapter: another one over it has no base model", o.model),
			"graft export merges it into a model, which can be trained")
	}
	o.open.Prompts = prompts(o.queryPrompt, o.documentPrompt)
	if err := o.takePreset(); err != nil {
		return nil, err
	}
	o.open.Normalize, o.open.Unnormalized = &o.train.Normalized, true
	m, err := openModel(ctx, o.model, o.open, p.w)
	if err != nil {
		return nil, err
	}
	t := &trainee{options: o, progress: p, model: m}
	if err := t.prepare(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return t, nil
}

func (t *trainee) prepare() error {
	m, o := t.model, &t.options.train
	hash, err := m.Hash()
	if err != nil {
		return err
	}
	data, err := dataHash(o.TrainData)
	if err != nil {
		return err
	}
	t.step = convert.Step{Command: "train", Options: maps.Clone(t.options.given), Parent: hash}
	t.step.Options["data-hash"] = data
	if _, err := m.Raise(); err != nil {
		return fmt.Errorf("read model %q: %w", m.Path, err)
	}
	for _, w := range m.Warnings {
		t.warn(w)
	}
	takePrompts(o, m)
	o.SentencePoolingMethod = m.Modules.PoolingName()
	t.fitMatryoshka()
	t.trained, err = toTrain(m, tokenizer.Options{AddBOSToken: t.options.open.AddBOSToken, AddEOSToken: t.options.open.AddEOSToken})
	t.trained.Hash = hash
	return err
}

// takePrompts has texts stand in what the model wants around them.
func takePrompts(o *train.Options, m *convert.Model) {
	o.QueryInstruction = evaluate.Prompt(m.Modules.Prompts, "", evaluate.QueryRole)
	o.PassageInstruction = evaluate.Prompt(m.Modules.Prompts, "", evaluate.DocumentRole)
	o.QuerySuffix, o.PassageSuffix = m.Modules.Suffixes["query"], m.Modules.Suffixes["document"]
}

// toTrain is an opened model, in the raised form, as package train takes it, without its hash.
func toTrain(m *convert.Model, o tokenizer.Options) (train.Model, error) {
	run, err := runnable(m, o)
	if err != nil {
		return train.Model{}, err
	}
	ids, err := tokenizerHash(m.Tokenizer)
	if err != nil {
		return train.Model{}, err
	}
	t := train.Model{
		Graph: m.Graph, Tokenizer: run.Tokenizer, TokenizerHash: ids, Name: m.Path, MaxLength: m.Sizes.Positions, Dim: m.Dim,
		LoraTargets: m.LoRATargets(), LowerCase: m.Modules.LowerCase,
	}
	if m.Arch != nil {
		t.Arch = m.Arch.Name
	}
	if t.MaxLength == 0 {
		t.MaxLength = m.Modules.MaxLength
	}
	if m.Modules.PromptPooling != convert.PromptPooled {
		t.Unpooled = run.Unpooled
	}
	return t, nil
}

// fitMatryoshka leaves out of the default widths those that the model does not have. Widths that the user gave are
// the user's: the loop refuses them.
func (t *trainee) fitMatryoshka() {
	o, dim := &t.options.train, t.model.Dim
	_, given := t.options.given["matryoshka-dims"]
	_, weighted := t.options.given["matryoshka-loss-weights"]
	if !o.UseMatryoshka || given || weighted || dim == 0 || slices.Max(o.MatryoshkaDims) <= dim {
		return
	}
	o.MatryoshkaDims = slices.DeleteFunc(slices.Clone(o.MatryoshkaDims), func(d int) bool { return d > dim })
	if len(o.MatryoshkaDims) == 0 {
		o.MatryoshkaDims = []int{dim}
	}
	o.MatryoshkaLossWeights = o.MatryoshkaLossWeights[:len(o.MatryoshkaDims)]
	t.warn(fmt.Sprintf("the model has %d features: --matryoshka-dims is %v", dim, &numbers[int]{&o.MatryoshkaDims}))
}

// tokenizerHash changes with the files that the tokenizer was read from.
func tokenizerHash(path string) (string, error) {
	h := sha256.New()
	for _, name := range []string{filepath.Base(path), "tokenizer_config.json", "special_tokens_map.json"} {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read tokenizer: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// similarity is how two vectors of the model are compared.
func (t *trainee) similarity() string {
	if t.options.train.Normalized || t.model.Modules.Similarity != "dot" {
		return "cosine"
	}
	return "dot"
}

// save writes a model directory with the weights as they are now; under lora, an adapter's.
func (t *trainee) save(ctx context.Context, dir string, weights []*graph.Tensor) error {
	o := convert.SaveOptions{
		LowerOptions: pass.LowerOptions{Target: pass.Portable, Opset: 17, DType: graph.Float}, // of a model that came as ONNX
		NoONNX:       true, Overwrite: true, Version: version, Step: t.step,
	}
	var warnings []string
	var err error
	if tr := &t.options.train; tr.FineTuneType == "lora" {
		var a *convert.Adapter
		a, err = t.model.NewAdapter(pass.LoRAOptions{Rank: tr.LoraRank, Alpha: tr.LoraAlpha, Dropout: tr.LoraDropout}, weights)
		if err != nil {
			return err
		}
		warnings, err = convert.SaveAdapter(ctx, dir, t.model, a, o)
	} else if err = t.model.SetWeights(weights); err == nil {
		warnings, err = convert.Save(ctx, dir, t.model, o)
	}
	for _, w := range warnings {
		if !slices.Contains(t.warned, w) {
			t.warned = append(t.warned, w)
			t.warn(w)
		}
	}
	return err
}

// Close frees the model.
func (t *trainee) Close() error { return t.model.Close() }
