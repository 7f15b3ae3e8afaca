package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/evaluate"
	"graft/runtime"
	"graft/runtime/ort"
)

// evalOptions are what eval is asked for.
type evalOptions struct {
	encoder                     encoderOptions
	model, queryModel, docModel string
	checkpoints                 string
	all                         bool
	tasks                       cli.StringSlice
	run                         evaluate.Options
	queryPrompt, documentPrompt *string
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
		Name: "eval", Usage: "score a model on retrieval benchmarks, in result files that mteb reads", ArgsUsage: "MODEL",
		Flags: append(o.encoder.flags(), o.flags()...),
		Action: func(c *cli.Context) error {
			if o.model != "" || c.Args().Present() || (o.queryModel == "" && o.checkpoints == "") {
				model, err := modelArg(c, o.model)
				if err != nil {
					return err
				}
				o.model = model
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
		&cli.GenericFlag{Name: "query-prompt", Aliases: []string{"query-instruction"}, Value: &optionalString{&o.queryPrompt}, Usage: "`TEXT` before each query (default: the model's own)"},
		&cli.GenericFlag{Name: "document-prompt", Aliases: []string{"document-instruction"}, Value: &optionalString{&o.documentPrompt}, Usage: "`TEXT` before each document (default: the model's own)"},
		&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.maxLength, Usage: "most tokens of a text (default: the model's)"},
		&cli.IntFlag{Name: "query-max-length", Destination: &o.queryMax, Usage: "most tokens of a query"},
		&cli.IntFlag{Name: "document-max-length", Aliases: []string{"passage-max-length"}, Destination: &o.docMax, Usage: "most tokens of a document"},
		&cli.StringFlag{Name: "query-model", Destination: &o.queryModel, Usage: "MODEL for the queries, where they have one of their own"},
		&cli.StringFlag{Name: "document-model", Aliases: []string{"passage-model"}, Destination: &o.docModel, Usage: "MODEL for the documents, where they have one of their own"},
		&cli.StringFlag{Name: "checkpoints", Aliases: []string{"checkpoint-dir"}, Destination: &o.checkpoints, Usage: "evaluate every model directory in `DIR`"},
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

func eval(ctx context.Context, o *evalOptions, stdout, stderr io.Writer) error {
	gates, err := parseGates(o.min.Value())
	if err != nil {
		return err
	}
	if o.quantType != "no" {
		return withHint(usagef("eval: --quant_type %s is not a way of loading here: quantized weights are a variant of the model", o.quantType),
			"export the model, quantize it into a variant, and evaluate it with --variant")
	}
	models, err := o.models()
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
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"models": reports}); err != nil {
			return err
		}
	} else {
		printScores(stdout, reports)
	}
	return checkGates(gates, all)
}

// pair is a model for queries and one for documents, most often the same.
type pair struct{ query, document string }

// models lists what is to be evaluated.
func (o *evalOptions) models() ([]pair, error) {
	if o.all && o.checkpoints == "" {
		return nil, withHint(usagef("eval: --evaluate_all needs the folder of the checkpoints"), "add --checkpoints DIR")
	}
	if o.checkpoints != "" {
		found, err := filepath.Glob(filepath.Join(o.checkpoints, "*", "config.json"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("eval: no model directories (with a config.json) in %q", o.checkpoints)
		}
		var list []pair
		for _, f := range found {
			list = append(list, pair{filepath.Dir(f), filepath.Dir(f)})
		}
		return list, nil
	}
	p := pair{o.model, o.model}
	if o.queryModel != "" {
		p.query = o.queryModel
	}
	if o.docModel != "" {
		p.document = o.docModel
	}
	if p.document == "" {
		p.document = p.query
	}
	if p.query == "" {
		p.query = p.document
	}
	return []pair{p}, nil
}

// evalReport is what eval prints of one model.
type evalReport struct {
	Model     string         `json:"model"`
	Provider  string         `json:"provider"`
	Precision string         `json:"precision"`
	Nodes     map[string]int `json:"nodes,omitempty"` // of the graph, by the provider that runs them
	Tasks     []taskReport   `json:"tasks"`
}

type taskReport struct {
	Task    string             `json:"task"`
	Split   string             `json:"split"`
	Seconds float64            `json:"seconds"`
	Reused  bool               `json:"reused"`
	Scores  map[string]float64 `json:"scores"`
	Files   []string           `json:"files"`
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
	report := evalReport{Model: m.query, Provider: queries.Provider, Precision: queries.Precision}
	if o.json {
		placed, err := queries.Placements()
		if err != nil {
			return evalReport{}, nil, err
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
		report.Tasks = append(report.Tasks, reportTask(out))
	}
	return report, outcomes, nil
}

// experiment names what distinguishes the run from the model's plain one, for mteb's experiments folder.
func (o *evalOptions) experiment() map[string]string {
	e := map[string]string{}
	if o.encoder.open.Variant != "" {
		e["variant"] = o.encoder.open.Variant
	}
	if p := o.encoder.run.Precision; p != "fp32" {
		e["precision"] = p
	}
	return e
}

func reportTask(out *evaluate.Outcome) taskReport {
	r := taskReport{Task: out.Task.Name, Seconds: out.Result.EvaluationTime, Reused: out.Reused, Files: out.Files, Scores: map[string]float64{}}
	for _, s := range out.Result.Splits {
		r.Split = s.Split
		for _, e := range s.Entries {
			for _, name := range shownScores {
				if v, ok := e.Score(name); ok {
					r.Scores[name] = v
				}
			}
		}
	}
	return r
}

// scorer lets the evaluation use ONNX Runtime's matrix product.
type scorer struct{ product *runtime.Scorer }

// Score implements evaluate.Scorer.
func (s scorer) Score(ctx context.Context, queries, documents evaluate.Matrix, scores []float32) error {
	return s.product.Score(ctx, queries.Data, documents.Data, queries.Dim, scores)
}

// shownScores are the columns of eval's table; the result file has all.
var shownScores = []string{"ndcg_at_10", "recall_at_10", "recall_at_100", "map_at_10", "mrr_at_10"}

func printScores(w io.Writer, reports []evalReport) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "model\ttask\t%s\tseconds\n", strings.Join(shownScores, "\t"))
	for _, r := range reports {
		for _, task := range r.Tasks {
			fmt.Fprintf(t, "%s\t%s", r.Model, task.Task)
			for _, name := range shownScores {
				fmt.Fprintf(t, "\t%.5f", task.Scores[name])
			}
			fmt.Fprintf(t, "\t%.1f\n", task.Seconds)
		}
	}
	t.Flush()
	for _, r := range reports {
		for _, task := range r.Tasks {
			if len(task.Files) > 0 {
				fmt.Fprintf(w, "%s: %s\n", task.Task, task.Files[0])
			}
		}
	}
}

// gate is a --min.
type gate struct {
	metric string
	least  float64
}

func parseGates(list []string) ([]gate, error) {
	var gates []gate
	for _, s := range list {
		metric, value, _ := strings.Cut(s, "=")
		least, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, usagef("eval: --min %q is not METRIC=VALUE", s)
		}
		gates = append(gates, gate{metric, least})
	}
	return gates, nil
}

func checkGates(gates []gate, outcomes []*evaluate.Outcome) error {
	for _, g := range gates {
		for _, out := range outcomes {
			if out.Pending {
				continue
			}
			for _, s := range out.Result.Splits {
				for _, e := range s.Entries {
					v, ok := e.Score(g.metric)
					if !ok {
						return usagef("eval: --min names the metric %q, which the results do not have", g.metric)
					}
					if !(v >= g.least) { // nor a score that is no number
						return checkf("task %q: %s is %.5f, less than the least that is wanted, %g", out.Task.Name, g.metric, v, g.least)
					}
				}
			}
		}
	}
	return nil
}

// modelName is a model's name in mteb's form, organization/model.
func modelName(path string) string {
	if name, ok := strings.CutPrefix(path, "hf:"); ok {
		name, _, _ = strings.Cut(name, "@")
		return name
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return "graft/" + strings.TrimSuffix(filepath.Base(path), ".onnx")
}

// modelMeta describes the model in mteb's terms.
func modelMeta(e *encoder, path string) evaluate.ModelMeta {
	similarity := e.model.Modules.Similarity
	if similarity != "dot" {
		similarity = "cosine"
	}
	dim, tokens := e.Dim, float64(e.model.Modules.MaxLength)
	return evaluate.ModelMeta{
		Name: modelName(path), Revision: strings.TrimPrefix(e.hash, "sha256:")[:40],
		EmbedDim: &dim, MaxTokens: &tokens, Framework: []string{"ONNX"}, Similarity: similarity,
	}
}

// taskEncoder encodes the texts of one task.
type taskEncoder struct {
	by     map[evaluate.Role]*encoder
	prompt map[evaluate.Role]string
	length map[evaluate.Role]int
}

func (o *evalOptions) taskEncoder(t evaluate.Task, queries, documents *encoder) *taskEncoder {
	e := &taskEncoder{
		by:     map[evaluate.Role]*encoder{evaluate.QueryRole: queries, evaluate.DocumentRole: documents},
		prompt: map[evaluate.Role]string{},
		length: map[evaluate.Role]int{evaluate.QueryRole: o.queryMax, evaluate.DocumentRole: o.docMax},
	}
	for role, given := range map[evaluate.Role]*string{evaluate.QueryRole: o.queryPrompt, evaluate.DocumentRole: o.documentPrompt} {
		if given != nil {
			e.prompt[role] = *given
		} else {
			e.prompt[role] = evaluate.Prompt(e.by[role].model.Modules.Prompts, t.Name, role)
		}
		if e.length[role] == 0 {
			e.length[role] = o.maxLength
		}
	}
	return e
}

// Encode implements evaluate.Encoder.
func (e *taskEncoder) Encode(ctx context.Context, texts []string, role evaluate.Role, done func(int)) (evaluate.Matrix, error) {
	v, err := e.by[role].Encode(ctx, texts, runtime.EncodeOptions{
		Prompt: e.prompt[role], MaxLength: e.length[role], Progress: func(n, _ int) { done(n) },
	})
	if err != nil {
		return evaluate.Matrix{}, err
	}
	return evaluate.Matrix{Rows: v.Rows, Dim: v.Dim, Data: v.Data}, nil
}

func (e *taskEncoder) settings(m pair) evaluate.EncoderSettings {
	q, d := e.by[evaluate.QueryRole], e.by[evaluate.DocumentRole]
	name, hash := m.query, q.hash
	if d != q {
		name, hash = name+" + "+m.document, hash+" "+d.hash
	}
	return evaluate.EncoderSettings{
		Model: name, ModelHash: hash,
		QueryPrompt: e.prompt[evaluate.QueryRole], DocumentPrompt: e.prompt[evaluate.DocumentRole],
		Pooling: q.model.Modules.PoolingName(), Normalize: q.model.Modules.Normalize,
		QueryMaxLength: q.Limit(e.length[evaluate.QueryRole]), DocumentMaxLength: d.Limit(e.length[evaluate.DocumentRole]),
		Precision: q.Precision, Provider: q.Provider,
	}
}
