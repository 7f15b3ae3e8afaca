package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/evaluate"
	"graft/graph"
	"graft/prune"
	"graft/runtime"
	"graft/runtime/tokenizer"
)

// measureOptions say what the importance of a model's parts is measured on.
type measureOptions struct {
	texts   string
	samples int
	length  int
	tasks   cli.StringSlice
	data    string
	most    int
	threads int
}

// fewestTexts is the least that importance is measured on: of fewer it says more about the texts than
// about the model.
const fewestTexts = 8

func (o *measureOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "texts", Destination: &o.texts, Usage: "`FILE` of texts to measure on: .jsonl with a field \"text\", or lines (default: a built-in sample)"},
		&cli.IntFlag{Name: "samples", Value: 200, Destination: &o.samples, Usage: "use the first `N` texts"},
		&cli.IntFlag{Name: "texts-max-length", Destination: &o.length, Usage: "most tokens of a text that is measured on (default: the model's)"},
		&cli.StringSliceFlag{Name: "task", Aliases: []string{"task-name"}, Destination: &o.tasks, Usage: "`NAME`,… of retrieval tasks, as for eval: what leave-one-out measures nDCG@10 on"},
		&cli.StringFlag{Name: "data", Destination: &o.data, Usage: "`DIR` of the tasks' data"},
		&cli.IntFlag{Name: "max-documents", Destination: &o.most, Usage: "search only the first `N` documents of a task"},
		&cli.IntFlag{Name: "threads", Destination: &o.threads, Usage: "threads to compute on (default: one per core)"},
	}
}

// check finds what a criterion lacks.
func (o *measureOptions) check(layers prune.Options) error {
	if o.samples < 1 {
		return usagef("prune: --samples %d: nothing can be measured on no texts", o.samples)
	}
	if strings.HasSuffix(layers.Criterion, "leave-one-out") && len(o.tasks.Value()) == 0 && layers.Keep == nil {
		return withHint(usagef("prune: --criterion %s measures retrieval", layers.Criterion), "add --task NAME, and --data DIR")
	}
	return nil
}

// sample are the texts to measure on, without blank ones.
func (o *measureOptions) sample(ctx context.Context) ([]string, error) {
	list, source := runtime.SampleTexts(), "the built-in sample"
	if o.texts != "" {
		var err error
		if list, err = allTexts(ctx, o.texts, o.samples); err != nil {
			return nil, err
		}
		source = o.texts
	}
	list = slices.DeleteFunc(list[:min(len(list), o.samples)], func(s string) bool { return strings.TrimSpace(s) == "" })
	if len(list) < fewestTexts {
		return nil, fmt.Errorf("read texts: %s: %d texts that are not blank, at least %d are needed to measure on", source, len(list), fewestTexts)
	}
	return list, nil
}

// recorder runs graphs of m's inputs on the texts.
func (o *measureOptions) recorder(ctx context.Context, m *convert.Model) (prune.Activations, error) {
	list, err := o.sample(ctx)
	if err != nil {
		return nil, err
	}
	run, err := runnable(m, tokenizer.Options{})
	if err != nil {
		return nil, err
	}
	return runtime.NewRecorder(ctx, run, list, runtime.RecordOptions{MaxLength: o.length, Threads: o.threads})
}

// quality is the mean main score of the tasks, nDCG@10, by graphs that stand in for m's.
func (o *measureOptions) quality(m *convert.Model, stderr io.Writer) prune.Quality {
	return func(ctx context.Context, g *graph.Model) (float64, error) {
		dir, err := os.MkdirTemp("", "graft-prune-*")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir) // the score is all that is wanted
		run, err := runnable(m, tokenizer.Options{})
		if err != nil {
			return 0, err
		}
		run.ID, run.Graph = "pruning", g.Clone()
		e, err := runtime.Open(ctx, run, runtime.Options{Provider: "cpu", Threads: o.threads})
		if err != nil {
			return 0, err
		}
		defer e.Close()
		p := newProgress(stderr, "texts")
		defer p.done()
		here := &encoder{Encoder: e, model: m}
		eval := &evalOptions{}
		outcomes, err := evaluate.Run(ctx, evaluate.Options{
			Tasks: o.tasks.Value(), Data: o.data, HubCache: convert.HubFromEnv(os.Getenv).CacheDir, Out: dir, MaxDocuments: o.most,
			Model: evaluate.ModelMeta{Name: modelName(m.Path), Similarity: "cosine"},
			Encoder: func(t evaluate.Task) (evaluate.Encoder, evaluate.EncoderSettings, error) {
				return eval.taskEncoder(t, here, here), evaluate.EncoderSettings{Model: m.Path}, nil
			},
			Progress: func(g evaluate.Progress) { p.update(g.Task+" "+g.Phase, g.Done, g.Total) },
		})
		if err != nil {
			return 0, err
		}
		return metrics(outcomes)[mainScore], nil
	}
}
