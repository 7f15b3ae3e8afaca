package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"graft/evaluate"
	"graft/mine"
	"graft/runtime"
)

// mineOptions are what mine is asked for.
type mineOptions struct {
	encoder  encoderOptions
	model    string
	teacher  string
	input    cli.StringSlice
	ranks    string
	mine     mine.Options
	texts    evalOptions // prompts and lengths
	memoryMB int64
	json     bool
}

func mineCommand() *cli.Command {
	o := &mineOptions{}
	return &cli.Command{
		Name: "mine", Usage: "find hard negatives for training data", ArgsUsage: "MODEL",
		Flags: counts(append(o.flags(), o.encoder.flags()...)),
		Action: func(c *cli.Context) error {
			model, err := modelArg(c, o.model)
			if err != nil {
				return err
			}
			o.model = model
			return mineNegatives(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func (o *mineOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "input", Aliases: []string{"i", "input-file", "train-data"}, Destination: &o.input, Usage: "`FILE` of rows {\"query\", \"pos\", \"neg\"}, or a folder of such files, also .gz; repeatable"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o", "output-file"}, Destination: &o.mine.Output, Usage: "`FILE` for the rows with mined negatives, .jsonl or .jsonl.gz"},
		&cli.StringFlag{Name: "corpus", Aliases: []string{"candidate-pool"}, Destination: &o.mine.Corpus, Usage: "candidates: JSON lines with a field \"text\", or a `DIR` in the BEIR layout (default: all passages of the rows)"},
		&cli.StringFlag{Name: "range", Aliases: []string{"range-for-sampling"}, Value: "10-210", Destination: &o.ranks, Usage: "`FIRST-END`: ranks that negatives are taken from; the best is 0, END is left out"},
		&cli.IntFlag{Name: "negatives", Aliases: []string{"negative-number", "num-negatives"}, Value: 15, Destination: &o.mine.Negatives, Usage: "most negatives of a row"},
		&cli.StringFlag{Name: "sampling", Aliases: []string{"sampling-strategy"}, Value: mine.Random, Destination: &o.mine.Sampling, Usage: "random, or top: the nearest that qualify"},
		&cli.Uint64Flag{Name: "seed", Value: 42, Destination: &o.mine.Seed, Usage: "of random sampling"},
		&cli.GenericFlag{Name: "margin", Aliases: []string{"absolute-margin"}, Value: &optionalFloat{&o.mine.Limits.Margin}, Usage: "leave out what scores more than the positive less `M`"},
		&cli.GenericFlag{Name: "relative-margin", Value: &optionalFloat{&o.mine.Limits.RelativeMargin}, Usage: "leave out what scores more than (1-`R`) of the positive, such as 0.05"},
		&cli.GenericFlag{Name: "max-score", Value: &optionalFloat{&o.mine.Limits.Max}, Usage: "leave out what scores more"},
		&cli.GenericFlag{Name: "min-score", Value: &optionalFloat{&o.mine.Limits.Min}, Usage: "leave out what scores less"},
		&cli.BoolFlag{Name: "with-scores", Aliases: []string{"output-scores"}, Destination: &o.mine.WithScores, Usage: "write pos_scores and neg_scores, which train --distill reads"},
		&cli.StringFlag{Name: "teacher", Destination: &o.teacher, Usage: "MODEL that gives the scores, which are written then (default: the one that mines)"},
		&cli.GenericFlag{Name: "query-prompt", Aliases: []string{"query-instruction", "query-instruction-for-retrieval"}, Value: &optionalString{&o.texts.queryPrompt}, Usage: "`TEXT` before each query (default: the model's own)"},
		&cli.GenericFlag{Name: "document-prompt", Aliases: []string{"document-instruction", "passage-instruction-for-retrieval"}, Value: &optionalString{&o.texts.documentPrompt}, Usage: "`TEXT` before each passage (default: the model's own)"},
		&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.texts.maxLength, Usage: "most tokens of a text (default: the model's)"},
		&cli.IntFlag{Name: "query-max-length", Aliases: []string{"embedder-query-max-length"}, Destination: &o.texts.queryMax, Usage: "most tokens of a query"},
		&cli.IntFlag{Name: "document-max-length", Aliases: []string{"passage-max-length", "embedder-passage-max-length"}, Destination: &o.texts.docMax, Usage: "most tokens of a passage"},
		&cli.Int64Flag{Name: "memory-budget", Value: 1024, Destination: &o.memoryMB, Usage: "`MB` that the search may hold beside the model"},
		&cli.StringFlag{Name: "model-name-or-path", Aliases: []string{"embedder-name-or-path"}, Destination: &o.model, Usage: "the MODEL, as a flag"},
		jsonFlag(&o.json),
	}
}

// optionalFloat is a number that may be left out.
type optionalFloat struct{ value **float64 }

func (f *optionalFloat) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v-v != 0 {
		return fmt.Errorf("%q is no number", text)
	}
	*f.value = &v
	return nil
}

func (f *optionalFloat) String() string {
	if f.value == nil || *f.value == nil {
		return ""
	}
	return fmt.Sprint(**f.value)
}

func mineNegatives(ctx context.Context, o *mineOptions, stdout, stderr io.Writer) error {
	m := &o.mine
	var err error
	if m.Ranks, err = mine.ParseRange(o.ranks); err != nil {
		return usagef("mine: --range: %v", err)
	}
	if m.Input = o.input.Value(); len(m.Input) == 0 || m.Output == "" {
		return withHint(usagef("mine needs rows and a file for the result"), "add --input FILE --output FILE")
	}
	m.WithScores = m.WithScores || o.teacher != ""
	if err := m.Check(); err != nil {
		return usagef("mine: %v", err)
	}
	encoder, similarity, err := o.open(ctx, o.model, stderr)
	if err != nil {
		return err
	}
	defer encoder.Close()
	m.Encoder, m.QueryPrompt, m.Similarity = encoder, encoder.queryPrompt, similarity
	if o.teacher != "" {
		teacher, similarity, err := o.open(ctx, o.teacher, stderr)
		if err != nil {
			return err
		}
		defer teacher.Close()
		m.Teacher, m.TeacherQueryPrompt, m.TeacherSimilarity = teacher, teacher.queryPrompt, similarity
	}
	product, err := runtime.NewScorer(o.encoder.run.Threads)
	if err != nil {
		return err
	}
	defer product.Close()
	p := newProgress(stderr, "texts")
	m.Scorer, m.MemoryBudget = scorer{product}, o.memoryMB<<20
	m.Progress = func(g evaluate.Progress) { p.update(g.Phase, g.Done, g.Total) }
	m.Warn = func(text string) { p.done(); fmt.Fprintf(stderr, "graft: warning: %s\n", text) }
	r, err := mine.Run(ctx, *m)
	p.done()
	if err != nil {
		return fmt.Errorf("mine: %w", err)
	}
	if o.json {
		return printJSON(stdout, r)
	}
	fmt.Fprintln(stdout, m.Output)
	return printMined(stdout, r)
}

// mineEncoder is a model that encodes without its query prompt, which the miner puts before the queries itself: rows may
// bring their own.
type mineEncoder struct {
	*taskEncoder
	queryPrompt string
}

func (o *mineOptions) open(ctx context.Context, model string, stderr io.Writer) (*mineEncoder, string, error) {
	e, err := openEncoder(ctx, model, o.encoder, stderr)
	if err != nil {
		return nil, "", err
	}
	t := o.texts.taskEncoder(evaluate.Task{}, e, e)
	prompt := t.prompt[evaluate.QueryRole]
	t.prompt[evaluate.QueryRole], t.pairs = "", false // as training reads them: passages are single texts
	return &mineEncoder{t, prompt}, modelMeta(e, model).Similarity, nil
}

// Close frees the model.
func (e *mineEncoder) Close() error { return e.by[evaluate.QueryRole].Close() }

// printMined prints what became of the rows.
func printMined(w io.Writer, r *mine.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "rows\t%d of %d; %d without a negative are left out, %d have fewer than asked for\n", r.Written, r.Rows, r.Empty, r.Short)
	fmt.Fprintf(t, "negatives\t%d, %.1f a row, from %d distinct passages\n", r.Negatives, float64(r.Negatives)/float64(max(r.Written, 1)), r.Candidates)
	fmt.Fprintf(t, "mean score\t%.4f of the positives, %.4f of the negatives, over %d queries\n", r.PositiveScore, r.NegativeScore, r.Queries)
	var reasons []string
	for reason := range r.Refused {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(t, "left out\t%d candidates: %s\n", r.Refused[reason], mine.Reasons[reason])
	}
	return t.Flush()
}
