package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/train"
	"graft/train/torch"
)

// trainOptions are what train is asked for.
type trainOptions struct {
	train                       train.Options
	open                        convert.OpenOptions
	preset                      presetOptions
	model                       string
	teacherPooling              string
	data, evalTasks             cli.StringSlice
	queryPrompt, documentPrompt *string
	given                       map[string]any // the flags that the user set, by name, for the provenance
	json                        bool
}

func trainCommand() *cli.Command {
	o := &trainOptions{train: train.DefaultOptions()}
	return &cli.Command{
		Name: "train", Usage: "fine-tune a checkpoint or an ONNX file on queries and passages", ArgsUsage: "MODEL",
		Flags: o.flags(),
		Action: func(c *cli.Context) error {
			model, err := modelArg(c, o.model)
			if err != nil {
				return err
			}
			o.model, o.train.ModelNameOrPath, o.train.Version = model, model, version
			o.train.TrainData, o.train.EvalTasks = o.data.Value(), o.evalTasks.Value()
			o.given = givenFlags(c)
			o.settleTeacher()
			o.settleMatryoshka()
			if err := o.check(); err != nil {
				return err
			}
			return runTraining(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// givenFlags are the flags that the command line or the config sets, but for those that say nothing of the result.
func givenFlags(c *cli.Context) map[string]any {
	given := map[string]any{}
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if c.IsSet(name) && !slices.Contains([]string{"model-name-or-path", "output-dir", "overwrite-output-dir", "json"}, name) {
			given[name] = c.Value(name)
			if list, ok := given[name].(cli.StringSlice); ok {
				given[name] = list.Value()
			}
		}
	}
	return given
}

// sharding is what --sharding may be, in Paddle's words.
var sharding = regexp.MustCompile(`^stage[123]( offload)?$`)

// settleTeacher sets what --teacher stands for where the user says no more: the teacher's vectors are learned, and a row
// is a text, or a query with a positive.
func (o *trainOptions) settleTeacher() {
	t := &o.train
	if t.Teacher != "" && t.Distill == "" {
		t.Distill = "embedding"
	}
	if _, given := o.given["train-group-size"]; !given && (t.Distill == "embedding" || t.Distill == "score") {
		t.TrainGroupSize = 1
	}
}

// settleMatryoshka gives each of the user's widths the weight 1 where weights are not named.
func (o *trainOptions) settleMatryoshka() {
	_, dims := o.given["matryoshka-dims"]
	_, weights := o.given["matryoshka-loss-weights"]
	if dims && !weights {
		o.train.MatryoshkaLossWeights = slices.Repeat([]float64{1}, len(o.train.MatryoshkaDims))
	}
}

// check finds mistakes of the command line before anything is read.
func (o *trainOptions) check() error {
	t := &o.train
	switch {
	case t.OutputDir == "":
		return withHint(usagef("train needs an output directory"), "add --output-dir DIR")
	case len(t.TrainData) == 0:
		return withHint(usagef("train needs data"), `add --train-data FILE, of lines {"query": "…", "pos": ["…"], "neg": ["…"]}`)
	case t.Sharding != "" && !sharding.MatchString(t.Sharding):
		return usagef("train: --sharding %q is not stage1, stage2 or stage3, with or without offload", t.Sharding)
	case len(t.EvalTasks) == 0 && (t.EvalData != "" || t.EvalSteps > 0 || t.LoadBestModelAtEnd || t.EarlyStoppingPatience > 0):
		return withHint(usagef("train: nothing says what to evaluate"), "add --eval-task NAME, such as SciFact, or any name for the data in --eval-data")
	}
	for _, pooling := range []string{o.open.Pooling, o.teacherPooling} {
		if err := checkPooling(pooling); err != nil {
			return err
		}
	}
	return t.Validate()
}

// sayIgnored tells once of each switch that is accepted and does nothing.
func (o *trainOptions) sayIgnored(w io.Writer) {
	for _, i := range []struct {
		set  bool
		text string
	}{
		{o.train.UseFlashAttention, "--use-flash-attention has no effect: attention is always computed in one fused operation"},
		{o.train.Sharding != "", "--sharding has no effect: one device holds the whole model"},
		{o.train.NegativesCrossDevice, "--negatives-cross-device has no effect: there is one device"},
	} {
		if i.set {
			fmt.Fprintf(w, "graft: %s\n", i.text)
		}
	}
}

// runTraining opens the model, trains it and says what came of it.
func runTraining(ctx context.Context, o *trainOptions, stdout, stderr io.Writer) error {
	if _, err := torch.Version(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	o.sayIgnored(stderr)
	p := newTrainProgress(stderr)
	t, err := openTrainee(ctx, o, p)
	if err != nil {
		return err
	}
	defer t.Close()
	hooks := train.Hooks{SaveModel: t.save, Progress: p.update, Warn: t.warn}
	teacher, err := openTeacher(ctx, o, p)
	if err != nil {
		return err
	}
	defer teacher.Close()
	if teacher != nil {
		if hooks.Teacher, err = teacher.hook(); err != nil {
			return err
		}
		t.step.Options["teacher-hash"] = hooks.Teacher.Hash
	}
	if len(o.train.EvalTasks) > 0 {
		hooks.Evaluate = t.evaluate
	}
	result, err := train.Run(ctx, t.trained, o.train, hooks)
	p.done()
	if err != nil {
		return trainingError(err)
	}
	if o.json {
		return printJSON(stdout, trainReport(o, result))
	}
	printTraining(stdout, o, result)
	return nil
}

// trainingError adds what to type instead.
func trainingError(err error) error {
	var flag *train.FlagError
	var mismatch *train.MismatchError
	switch {
	case errors.As(err, &flag) && flag.Flag == "output-dir":
		return withHint(err, "add --overwrite-output-dir to begin anew, or name another directory")
	case errors.As(err, &mismatch):
		return withHint(err, "give the settings that the checkpoint was made with, or begin anew with --overwrite-output-dir or in another directory")
	}
	return err
}

// trainReport is the object that --json prints.
func trainReport(o *trainOptions, r *train.Result) map[string]any {
	report := map[string]any{
		"output": o.train.OutputDir, "objective": r.Objective, "rows": r.Rows, "parameters": r.Parameters, "trainable": r.Trainable,
		"steps": r.Steps, "epochs": r.Epochs, "first_loss": r.FirstLoss, "last_loss": r.LastLoss, "mean_loss": r.MeanLoss,
		"seconds": r.Elapsed.Seconds(), "evaluations": r.Evaluations,
	}
	if len(r.Evaluations) > 0 {
		report["best_step"], report["best"] = r.BestStep, r.Best
	}
	if r.Stopped != "" {
		report["stopped"] = r.Stopped
	}
	if r.ResumedFrom != "" {
		report["resumed_from"] = r.ResumedFrom
	}
	return report
}

// printTraining says where the model is, and how the run went.
func printTraining(w io.Writer, o *trainOptions, r *train.Result) {
	fmt.Fprintln(w, o.train.OutputDir)
	since := ""
	if r.ResumedFrom != "" {
		since = fmt.Sprintf(" since %q", r.ResumedFrom)
	}
	fmt.Fprintf(w, "%d steps on %d rows in %s%s; loss %.4f at first, %.4f over the last tenth\n",
		r.Steps, r.Rows, r.Elapsed.Round(time.Second), since, r.FirstLoss, r.MeanLoss)
	if r.Stopped != "" {
		fmt.Fprintf(w, "stopped: %s\n", r.Stopped)
	}
	if len(r.Evaluations) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	names := evaluationColumns(r.Evaluations[0].Metrics)
	fmt.Fprintf(t, "step\tepoch\t%s\t\n", strings.Join(names, "\t"))
	for _, e := range r.Evaluations {
		fmt.Fprintf(t, "%d\t%.2f", e.Step, e.Epoch)
		for _, name := range names {
			fmt.Fprintf(t, "\t%.5f", e.Metrics[name])
		}
		mark := ""
		if e.Step == r.BestStep {
			mark = "best"
		}
		fmt.Fprintf(t, "\t%s\n", mark)
	}
	t.Flush()
}
