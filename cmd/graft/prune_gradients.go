package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/graph"
	"graft/prune"
	"graft/runtime/tokenizer"
	"graft/train"
	"graft/train/torch"
)

// gradientOptions say which training rows heads and neurons are scored on.
type gradientOptions struct {
	data  cli.StringSlice
	group int
}

const gradientCriterion = "gradient"

func (o *gradientOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "train-data", Destination: &o.data, Usage: "`FILE` of rows as train reads them, or a folder of them: what the criterion gradient is measured on"},
		&cli.IntFlag{Name: "train-group-size", Value: train.DefaultOptions().TrainGroupSize, Destination: &o.group, Usage: "passages per query: one positive, the others negatives"},
	}
}

// check finds what the criterion of heads and neurons lacks.
func (o *gradientOptions) check(width prune.WidthOptions) error {
	switch rows := len(o.data.Value()) > 0; {
	case width.Criterion != gradientCriterion && rows:
		return withHint(usagef("prune: nothing is measured on --train-data"), "add --width-criterion gradient")
	case width.Criterion != gradientCriterion:
		return nil
	case width.Heads == 0 && width.Neurons == 0:
		return withHint(usagef("prune: --width-criterion gradient scores heads and neurons"), "add --heads N or --ffn N")
	case !rows:
		return withHint(usagef("prune: --width-criterion gradient is measured on training rows"), `add --train-data FILE, of lines {"query": "…", "pos": ["…"], "neg": ["…"]}`)
	case o.group < 1:
		return usagef("prune: --train-group-size %d", o.group)
	}
	return nil
}

// gradients are those of the loss that train minimizes by default, on the training rows.
func (o *pruneOptions) gradients(m *convert.Model, stderr io.Writer) (prune.Gradients, error) {
	if _, err := torch.Version(); err != nil {
		return nil, fmt.Errorf("criterion gradient: %w", err)
	}
	t := train.DefaultOptions()
	t.TrainData, t.TrainGroupSize, t.MaxExampleNumPerDataset = o.rows.data.Value(), o.rows.group, o.measure.samples
	t.Threads = o.measure.threads
	if o.measure.length > 0 {
		t.QueryMaxLen, t.PassageMaxLen = min(t.QueryMaxLen, o.measure.length), o.measure.length
	}
	takePrompts(&t, m)
	trained, err := toTrain(m, tokenizer.Options{})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, g *graph.Model, weights []string, use func([][]float32) error) error {
		p := newProgress(stderr, "batches")
		defer p.done()
		trained.Graph = g
		return train.Gradients(ctx, trained, t, train.Hooks{
			Warn:     func(text string) { fmt.Fprintf(stderr, "graft: warning: %s\n", text) },
			Progress: func(at train.Progress) { p.update("gradients", at.Step, at.Steps) },
		}, weights, use)
	}, nil
}
