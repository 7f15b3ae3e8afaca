package main

import (
	"context"
	"errors"
	"fmt"

	"graft/convert"
	"graft/evaluate"
	"graft/runtime"
	"graft/train"
	"graft/train/dataset"
)

// teacher is the model that is learned from. ONNX Runtime runs it, and only where its vectors are not on the disk yet.
type teacher struct {
	options  encoderOptions
	path     string
	progress *trainProgress
	model    *convert.Model
	encoder  *encoder // nil while it does not run
}

// openTeacher opens what --teacher names; nil where it names nothing.
func openTeacher(ctx context.Context, o *trainOptions, p *trainProgress) (*teacher, error) {
	if o.train.Teacher == "" {
		return nil, nil
	}
	t := &teacher{path: o.train.Teacher, progress: p}
	t.options.open = convert.OpenOptions{Pooling: o.teacherPooling, ONNX: true}
	t.options.run.Provider, t.options.run.Threads = runtime.Auto, o.train.Threads
	m, err := openModel(ctx, t.path, t.options.open, p.w)
	if err != nil {
		return nil, fmt.Errorf("open teacher: %w", err)
	}
	t.model = m
	if m.Tokenizer == "" {
		return nil, errors.Join(fmt.Errorf("open teacher %q: %w", m.Path, runtime.ErrNoTokenizer), m.Close())
	}
	if m.Dim == 0 { // only a run tells
		if err := t.start(ctx); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// start makes it ready to run. The model is then the encoder's.
func (t *teacher) start(ctx context.Context) error {
	if t.encoder != nil {
		return nil
	}
	e, err := newEncoder(ctx, t.model, t.options, t.progress.w)
	if err != nil {
		return errors.Join(fmt.Errorf("open teacher: %w", err), t.Close())
	}
	t.encoder = e
	return nil
}

// hook is what the loop learns of it.
func (t *teacher) hook() (*train.Teacher, error) {
	hash, err := t.model.Hash()
	if err != nil {
		return nil, fmt.Errorf("open teacher: %w", err)
	}
	dim := t.model.Dim
	if t.encoder != nil {
		dim = t.encoder.Dim
	}
	prompt := func(role evaluate.Role) string { return evaluate.Prompt(t.model.Modules.Prompts, "", role) }
	return &train.Teacher{
		Hash: hash, Dim: dim, QueryPrompt: prompt(evaluate.QueryRole), PassagePrompt: prompt(evaluate.DocumentRole),
		Open: func(ctx context.Context) (dataset.Teacher, error) { return t, t.start(ctx) },
	}, nil
}

// Encode implements dataset.Teacher.
func (t *teacher) Encode(ctx context.Context, texts []string, a dataset.Asked) ([]float32, error) {
	role := evaluate.DocumentRole
	if a.Query {
		role = evaluate.QueryRole
	}
	v, err := t.encoder.Encode(ctx, texts, runtime.EncodeOptions{
		Prompt: a.Prompt, Suffix: t.encoder.model.Modules.Suffixes[string(role)], MaxLength: a.MaxLength,
	})
	if err != nil {
		return nil, fmt.Errorf("run teacher %q: %w", t.path, err)
	}
	return v.Data, nil
}

// Close frees the model. It may be called again.
func (t *teacher) Close() error {
	var err error
	switch {
	case t == nil || t.model == nil:
		return nil
	case t.encoder != nil:
		err = t.encoder.Close()
	default:
		err = t.model.Close()
	}
	t.encoder, t.model = nil, nil
	return err
}
