package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/evaluate"
	"graft/runtime"
	"graft/runtime/ort"
)

// evalOptions are what eval is asked for.
type evalOptions struct {
	encoder                     encoderOptions
	modelList                   []string
	model, queryModel, docModel string
	checkpoints                 string
	all                         bool
	tasks                       cli.StringSlice
	run                         evaluate.Options
	queryPrompt, documentPrompt *string
	queryInstruction            *string
	maxLength, queryMax, docMax int
	min                         cli.StringSlice
	memoryMB                    int64
	quantType                   string
	shard                       shard
	json                        bool
}

func evalCommand() *cli.Command {
	o := &evalOptions{}
	return &cli.Command{
		Name: "eval", Usage: "score models on retrieval benchmarks, in result files that mteb reads", ArgsUsage: "MODEL…",
		Flags: counts(slices.Concat(o.encoder.flags(), o.encoder.preset.flags(), o.flags())),
		Action: func(c *cli.Context) error {
			if o.modelList = c.Args().Slice(); o.model != "" {
				o.modelList = append(o.modelList, o.model)
			}
			if o.run.Tasks = o.tasks.Value(); len(o.run.Tasks) == 0 {
				return withHint(usagef("eval needs a task"), "add --task NAME, such as SciFact, or any name for the data in --data")
			}
			return eval(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func (o *evalOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "task", Aliases: []string{"task-name"}, Destination: &o.tasks, Usage: "`NAME`,… of mteb's retrieval tasks, or any name for the data in --data"},
		&cli.StringFlag{Name: "data", Destination: &o.run.Data, Usage: "`DIR` of the data set, or the folder that holds several; in BEIR, MS MARCO, T2Ranking or Hugging Face layout"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o", "output-folder", "output-dir"}, Value: "results", Destination: &o.run.Out, Usage: "`DIR` for the results"},
		&cli.StringFlag{Name: "split", Aliases: []string{"task-split"}, Destination: &o.run.Split, Usage: "which judgments (default: the task's own, test for unknown tasks)"},
		&cli.GenericFlag{Name: "query-prompt", Value: &optionalString{&o.queryPrompt}, Usage: "`TEXT` before each query (default: the model's own)"},
		&cli.GenericFlag{Name: "query-instruction", Value: &optionalString{&o.queryInstruction}, Usage: "the reference's flag: `TEXT` for {instruction} where the query's template has it, else before each query"},
		&cli.GenericFlag{Name: "document-prompt", Aliases: []string{"document-instruction"}, Value: &optionalString{&o.documentPrompt}, Usage: "`TEXT` before each document (default: the model's own)"},
		&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.maxLength, Usage: "most tokens of a text (default: the model's)"},
		&cli.IntFlag{Name: "query-max-length", Destination: &o.queryMax, Usage: "most tokens of a query"},
		&cli.IntFlag{Name: "document-max-length", Aliases: []string{"passage-max-length"}, Destination: &o.docMax, Usage: "most tokens of a document"},
		&cli.StringFlag{Name: "query-model", Aliases: []string{"query-model-name-or-path"}, Destination: &o.queryModel, Usage: "MODEL for the queries, where they have one of their own"},
		&cli.StringFlag{Name: "document-model", Aliases: []string{"passage-model", "corpus-model-name-or-path"}, Destination: &o.docModel, Usage: "MODEL for the documents, where they have one of their own"},
		&cli.StringFlag{Name: "checkpoints", Aliases: []string{"checkpoint-dir"}, Destination: &o.checkpoints, Usage: "evaluate every checkpoint-N of a training run's `DIR`, or every model directory in it"},
		&cli.BoolFlag{Name: "evaluate-all", Destination: &o.all, Usage: "the reference's switch beside checkpoint_dir"},
		&cli.IntFlag{Name: "max-documents", Destination: &o.run.MaxDocuments, Usage: "search only the first `N` documents; the results say so"},
		&cli.Int64Flag{Name: "memory-budget", Value: 1024, Destination: &o.memoryMB, Usage: "`MB` that the search may hold beside the model"},
		&cli.GenericFlag{Name: "shard", Value: &o.shard, Usage: "`I/N`: do part I of N; processes that share the output folder share the work, and the last one to end writes the results"},
		&cli.BoolFlag{Name: "save-run", Destination: &o.run.SaveRun, Usage: "write the rankings as a TREC run too"},
		&cli.BoolFlag{Name: "save-predictions", Destination: &o.run.SavePredictions, Usage: "write the rankings as mteb's predictions too"},
		&cli.BoolFlag{Name: "overwrite", Destination: &o.run.Overwrite, Usage: "replace results that other settings gave"},
		&cli.StringSliceFlag{Name: "min", Destination: &o.min, Usage: "`METRIC=VALUE`: exit with 3 where a task scores less, such as ndcg_at_10=0.6"},
		&cli.StringFlag{Name: "quant-type", Value: "no", Destination: &o.quantType, Usage: "no, or weight_only_int8 or weight_only_int4 as in the reference"},
		&cli.StringFlag{Name: "model-name-or-path", Aliases: []string{"base-model-name-or-path"}, Destination: &o.model, Usage: "the MODEL, as a flag"},
		jsonFlag(&o.json),
	}
}

func jsonFlag(to *bool) cli.Flag {
	return &cli.BoolFlag{Name: "json", Destination: to, Usage: "print one JSON object instead of a table"}
}

// optionalString is a flag that may be left out, which is not the same as empty. The reference
// writes None for no text.
type optionalString struct{ value **string }

func (s *optionalString) Set(text string) error {
	if text == "None" {
		text = ""
	}
	*s.value = &text
	return nil
}

func (s *optionalString) String() string {
	if s.value == nil || *s.value == nil {
		return ""
	}
	return **s.value
}

// Get returns the text.
func (s *optionalString) Get() any { return s.String() }

func eval(ctx context.Context, o *evalOptions, stdout, stderr io.Writer) error {
	gates, err := parseGates(o.min.Value())
	if err != nil {
		return err
	}
	if o.encoder.quant, err = loadedAs(o.quantType); err != nil {
		return err
	}
	o.takeInstruction()
	models, err := o.models()
	if err == nil {
		err = o.openable(ctx, models, stderr)
	}
	if err != nil {
		return err
	}
	var all []*evaluate.Outcome
	var reports []evalReport
	for _, m := range models {
		r, outcomes, err := o.evalOne(ctx, m, stderr)
		if err != nil {
			return err
		}
		reports, all = append(reports, r), append(all, outcomes...)
	}
	differences, err := compareReports(reports)
	if err != nil {
		return err
	}
	if o.json {
		object := map[string]any{"models": reports}
		if len(differences) > 0 {
			object["differences"] = differences
		}
		if err := printJSON(stdout, object); err != nil {
			return err
		}
	} else {
		printScores(stdout, reports)
		printRecorded(stdout, reports)
		printDifferences(stdout, differences)
	}
	return checkGates(gates, all)
}

// evalOne evaluates one model (or pair) on all tasks.
func (o *evalOptions) evalOne(ctx context.Context, m pair, stderr io.Writer) (evalReport, []*evaluate.Outcome, error) {
	queries, err := openEncoder(ctx, m.query, o.encoder, stderr)
	if err != nil {
		return evalReport{}, nil, err
	}
	defer queries.Close()
	documents := queries
	if m.document != m.query {
		if documents, err = openEncoder(ctx, m.document, o.encoder, stderr); err != nil {
			return evalReport{}, nil, err
		}
		defer documents.Close()
	}
	p := newProgress(stderr, "texts")
	run := o.run
	run.MemoryBudget = o.memoryMB << 20
	run.Tool = "graft " + version
	run.HubCache = convert.HubFromEnv(os.Getenv).CacheDir
	if o.shard.of > 1 {
		run.Shard, run.Shards = o.shard.index+1, o.shard.of
	}
	run.Model = modelMeta(queries, m.query)
	run.Encoder = func(t evaluate.Task) (evaluate.Encoder, evaluate.EncoderSettings, error) {
		e := o.taskEncoder(t, queries, documents)
		return e, e.settings(m), nil
	}
	product, err := runtime.NewScorer(o.encoder.run.Threads)
	if err != nil {
		return evalReport{}, nil, err
	}
	defer product.Close()
	run.Scorer = scorer{product}
	run.Experiment = o.experiment()
	run.Progress = func(g evaluate.Progress) { p.update(g.Task+" "+g.Phase, g.Done, g.Total) }
	run.Warn = func(text string) { p.done(); fmt.Fprintf(stderr, "graft: warning: %s\n", text) }
	outcomes, err := evaluate.Run(ctx, run)
	p.done()
	if err != nil {
		return evalReport{}, nil, err
	}
	report, err := o.reportOf(m, queries, outcomes, stderr)
	return report, outcomes, err
}

// reportOf is what is printed of a model's outcomes.
func (o *evalOptions) reportOf(m pair, queries *encoder, outcomes []*evaluate.Outcome, stderr io.Writer) (evalReport, error) {
	if p, made := convert.PresetOf(queries.model); p != nil && !made && queries.preset.Preset == nil {
		fmt.Fprintf(stderr, "graft: %s is published as %s: --preset %s runs it so\n", m.query, p.Doc, p.Name)
	}
	report := evalReport{Model: m.query, Preset: queries.preset.named(), Provider: queries.Provider, Precision: queries.Precision}
	if o.json {
		placed, err := queries.Placements()
		if err != nil {
			return evalReport{}, err
		}
		report.Nodes = ort.CountByProvider(placed)
	}
	if m.document != m.query {
		report.Model += " + " + m.document
	}
	for _, out := range outcomes {
		if out.Pending {
			fmt.Fprintf(stderr, "graft: task %q: shard %v is done; the last shard to end writes the result\n", out.Task.Name, &o.shard)
			continue
		}
		task := reportTask(out)
		task.Recorded = queries.preset.recorded(out.Task.Name)
		report.Tasks = append(report.Tasks, task)
	}
	return report, nil
}

// experiment names what distinguishes the run from the model's plain one, for mteb's experiments folder.
func (o *evalOptions) experiment() map[string]string {
	e := map[string]string{}
	if o.encoder.open.Variant != "" {
		e["variant"] = o.encoder.open.Variant
	}
	if o.encoder.quant != "" {
		e["quantized"] = o.encoder.quant
	}
	if p := o.encoder.run.Precision; p != "fp32" {
		e["precision"] = p
	}
	return e
}
