package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/prune"
)

// pruneOptions are what prune is asked for.
type pruneOptions struct {
	open                        convert.OpenOptions
	save                        convert.SaveOptions
	layers                      prune.Options
	width                       prune.WidthOptions
	vocabulary                  string
	dim                         int
	model, out                  string
	normalize                   *bool
	queryPrompt, documentPrompt *string
	measure                     measureOptions
	rows                        gradientOptions
	planOnly                    bool
	json                        bool
}

func pruneCommand() *cli.Command {
	o := &pruneOptions{}
	return &cli.Command{
		Name: "prune", Usage: "remove the transformer layers that matter least", ArgsUsage: "MODEL",
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o", "output-dir", "output-model-path"}, Destination: &o.out, Usage: "`DIR` to make (with --variant: to add to; default then: MODEL)"},
			&cli.IntFlag{Name: "layers", Aliases: []string{"n-prune-layers"}, Destination: &o.layers.Layers, Usage: "remove `N` layers, those that score lowest"},
			&cli.GenericFlag{Name: "keep", Value: &numbers[int]{&o.layers.Keep}, Usage: "or keep these layers, such as 0,1,4,5; nothing is measured then"},
			&cli.StringFlag{Name: "criterion", Value: prune.Criteria()[0].Name, Destination: &o.layers.Criterion, Usage: "what layers are scored by: " + criterionNames()},
			&cli.Float64Flag{Name: "heads", Destination: &o.width.Heads, Usage: "remove `N` attention heads of each layer, or below 1 a share of them"},
			&cli.Float64Flag{Name: "ffn", Destination: &o.width.Neurons, Usage: "remove `N` neurons of each feed-forward network, or below 1 a share of them"},
			&cli.StringFlag{Name: "width-criterion", Value: prune.WidthCriteria()[0].Name, Destination: &o.width.Criterion, Usage: "what heads and neurons are scored by: " + widthCriterionNames()},
			&cli.StringFlag{Name: "vocab", Destination: &o.vocabulary, Usage: "keep the tokens that the texts in `FILE` have, and single characters; the tokenizer is written anew"},
			&cli.IntFlag{Name: "dim", Destination: &o.dim, Usage: "cut vectors to their first `N` features, as Matryoshka models allow"},
			&cli.BoolFlag{Name: "plan-only", Destination: &o.planOnly, Usage: "measure and print the plan, write nothing"},
		}, slices.Concat(o.measure.flags(), o.rows.flags())...), o.modelFlags()...),
		Action: func(c *cli.Context) error {
			model, err := modelArg(c, o.model)
			if err != nil {
				return err
			}
			if o.model = model; o.out == "" && o.save.Variant != "" {
				o.out = model
			}
			if err := o.check(); err != nil {
				return err
			}
			return pruneModel(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// modelFlags say how the model is read and written.
func (o *pruneOptions) modelFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "variant", Destination: &o.save.Variant, Usage: "add onnx/model_`NAME`.onnx to the directory instead of making one"},
		&cli.BoolFlag{Name: "overwrite", Aliases: []string{"overwrite-output-dir"}, Destination: &o.save.Overwrite, Usage: "replace what is there"},
		&cli.BoolFlag{Name: "external-data", Destination: &o.save.External, Usage: "put the weights beside the ONNX file, whatever their size (over 1 GiB they always are)"},
		&cli.StringFlag{Name: "pooling", Aliases: []string{"pooling-method", "sentence-pooling-method"}, Destination: &o.open.Pooling, Usage: "how tokens become one vector: " + poolingNames() + " (default: as the model says, else mean)"},
		&cli.GenericFlag{Name: "normalize", Aliases: []string{"normalized"}, Value: &optionalBool{&o.normalize}, Usage: "true or false: give vectors the length 1 (default: as the model says, else true)"},
		&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.open.MaxLength, Usage: "most tokens of a text (default: as the model says)"},
		&cli.GenericFlag{Name: "query-prompt", Aliases: []string{"query-instruction"}, Value: &optionalString{&o.queryPrompt}, Usage: "`TEXT` that belongs before each query"},
		&cli.GenericFlag{Name: "document-prompt", Aliases: []string{"document-instruction"}, Value: &optionalString{&o.documentPrompt}, Usage: "`TEXT` that belongs before each document"},
		&cli.StringFlag{Name: "tokenizer", Destination: &o.open.Tokenizer, Usage: "tokenizer.json `FILE`, where it is not beside the model"},
		&cli.StringFlag{Name: "model-name-or-path", Destination: &o.model, Usage: "the MODEL, as a flag"},
		jsonFlag(&o.json),
	}
}

func criterionNames() string {
	return listed(prune.Criteria(), func(c prune.Criterion) string { return c.Name })
}

func widthCriterionNames() string {
	return listed(prune.WidthCriteria(), func(c prune.WidthCriterion) string { return c.Name })
}

// check finds mistakes of the command line before a model is read.
func (o *pruneOptions) check() error {
	switch {
	case o.layers.Layers < 0:
		return usagef("prune: --layers %d", o.layers.Layers)
	case o.layers.Layers > 0 && o.layers.Keep != nil:
		return usagef("prune takes --layers or --keep, not both")
	case !isAmount(o.width.Heads) || !isAmount(o.width.Neurons):
		return usagef("prune: --heads %g --ffn %g: want a whole number, or a share below 1", o.width.Heads, o.width.Neurons)
	case o.vocabulary != "" && o.save.Variant != "":
		return usagef("prune: a variant shares the directory's tokenizer: --vocab makes a directory, with -o DIR")
	case o.layers.Layers == 0 && o.layers.Keep == nil && !o.more() && !o.planOnly:
		return withHint(usagef("prune is not told what to remove"), "add --layers N, --keep 0,1,…, --heads N, --ffn N, --vocab FILE or --dim N; --plan-only shows what each layer scores")
	case o.out == "" && !o.planOnly:
		return withHint(usagef("prune needs an output directory"), "add -o DIR, or --plan-only")
	}
	for _, err := range []error{
		checkName("prune", "criterion", o.layers.Criterion, criterionNames()),
		checkName("prune", "width-criterion", o.width.Criterion, widthCriterionNames()),
		o.measure.check(o.layers),
		o.rows.check(o.width),
		checkPooling(o.open.Pooling),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// isAmount reports whether x is how much can go: a whole number, or a share below 1.
func isAmount(x float64) bool { return x >= 0 && (x < 1 || x == math.Trunc(x) && !math.IsInf(x, 0)) }

// narrows reports whether layers are to become narrower.
func (o *pruneOptions) narrows() bool { return o.width.Heads > 0 || o.width.Neurons > 0 }

// more reports whether something beside layers is to go.
func (o *pruneOptions) more() bool { return o.narrows() || o.vocabulary != "" || o.dim != 0 }

func pruneModel(ctx context.Context, o *pruneOptions, stdout, stderr io.Writer) error {
	m, err := o.read(ctx, stderr)
	if err != nil {
		return err
	}
	defer m.Close()
	plan, width, err := o.plan(ctx, m, stderr)
	if err != nil {
		return fmt.Errorf("prune %q: %w", o.model, err)
	}
	vocabulary, err := o.tokens(ctx, m)
	if err != nil {
		return fmt.Errorf("prune %q: %w", o.model, err)
	}
	r := &pruneReport{Plan: plan, Width: width, Vocabulary: vocabulary, Dim: o.dim, Kept: plan.Kept(), Removed: plan.Removed(), Weights: weights(m.Graph)}
	if !o.json {
		r.printPlan(stdout)
	}
	if !o.planOnly {
		if err := o.apply(ctx, m, r); err != nil {
			return err
		}
	}
	for _, w := range append(m.Warnings, r.Warnings...) {
		fmt.Fprintf(stderr, "graft: warning: %s\n", w)
	}
	if o.json {
		return printJSON(stdout, r)
	}
	r.printResult(stdout)
	return nil
}

// plan measures what is to go: layers first, then heads and neurons of those that are left.
func (o *pruneOptions) plan(ctx context.Context, m *convert.Model, stderr io.Writer) (*prune.Plan, *prune.Width, error) {
	scored := o.layers.Keep == nil && (o.layers.Layers > 0 || !o.more())
	byGradient := o.narrows() && o.width.Criterion == gradientCriterion
	if byGradient {
		var err error
		if o.width.Gradients, err = o.gradients(m, stderr); err != nil {
			return nil, nil, err
		}
	}
	if scored || o.narrows() && !byGradient {
		activations, err := o.measure.recorder(ctx, m)
		if err != nil {
			return nil, nil, err
		}
		o.width.Activations = activations
		if scored {
			o.layers.Activations, o.layers.Quality = activations, o.measure.quality(m, stderr)
		}
	}
	plan, err := prune.New(ctx, m.Graph, o.layers)
	if err != nil || !o.narrows() {
		return plan, nil, err
	}
	left := m.Graph.Clone()
	if _, err := plan.Apply(left); err != nil {
		return nil, nil, err
	}
	width, err := prune.NewWidth(ctx, left, o.width)
	return plan, width, err
}

// read opens the model in the form that pruning looks into. That the output can be written is
// found out before anything is measured.
func (o *pruneOptions) read(ctx context.Context, stderr io.Writer) (*convert.Model, error) {
	o.open.Normalize = o.normalize
	o.open.Prompts = prompts(o.queryPrompt, o.documentPrompt)
	m, err := openModel(ctx, o.model, o.open, stderr)
	if err != nil {
		return nil, err
	}
	if !o.planOnly {
		err = checkOutput(m, o.out, o.save)
	}
	if err == nil {
		err = m.CheckSizes()
	}
	if err == nil {
		if _, err = m.Raise(); err != nil {
			err = fmt.Errorf("prune %q: %w", o.model, err)
		}
	}
	if err == nil && o.dim != 0 {
		err = m.Truncate(o.dim)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// apply carries the plan out and writes the model.
func (o *pruneOptions) apply(ctx context.Context, m *convert.Model, r *pruneReport) error {
	err := m.Rewrite(r.rewrite)
	if err == nil {
		err = checkNumbers(m.Graph.Graph, everyWeight)
	}
	if err != nil {
		return fmt.Errorf("prune %q: %w", o.model, err)
	}
	r.Left = weights(m.Graph)
	o.save.Version, o.save.KeepDType = version, true
	o.save.Step = r.step()
	r.Warnings, err = convert.Save(ctx, o.out, m, o.save)
	if err != nil {
		return overwriteHint(err)
	}
	r.Output, r.File = o.out, onnxPath(o.out, o.save.Variant)
	return nil
}
