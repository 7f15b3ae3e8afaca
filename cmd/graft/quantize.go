package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/graph"
	"graft/graph/onnx"
	"graft/quantize"
	"graft/runtime"
	"graft/runtime/tokenizer"
)

// quantizeOptions are what quantize is asked for.
type quantizeOptions struct {
	open           convert.OpenOptions
	save           convert.SaveOptions
	quantize       quantize.Options
	model, out     string
	target         string
	exclude        string
	calibration    string
	samples        int
	maxLength      int
	measure        bool
	planOnly, json bool
}

func quantizeCommand() *cli.Command {
	o := &quantizeOptions{}
	return &cli.Command{
		Name: "quantize", Usage: "store weights in 8, 4 or 16 bits, and compute on integers", ArgsUsage: "MODEL",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o", "output-dir"}, Destination: &o.out, Usage: "`DIR` to make (with --variant: to add to; default then: MODEL)"},
			&cli.StringFlag{Name: "scheme", Aliases: []string{"quant-type"}, Value: "int8-static", Destination: &o.quantize.Scheme, Usage: schemeNames()},
			&cli.StringFlag{Name: "target", Destination: &o.target, Usage: "what the graph is written for: portable (cpu and openvino alike), cpu, openvino, cuda or tensorrt (default: the first that the scheme runs on)"},
			&cli.StringFlag{Name: "calibration", Destination: &o.calibration, Usage: "`FILE` of texts to measure activations on: .jsonl with a field \"text\", or lines (default: a built-in sample)"},
			&cli.IntFlag{Name: "calibration-samples", Value: 256, Destination: &o.samples, Usage: "use the first `N` texts"},
			&cli.StringFlag{Name: "calibration-method", Value: quantize.Methods()[0].Name, Destination: &o.quantize.Method, Usage: "how ranges of activations are chosen: " + methodNames()},
			&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.maxLength, Usage: "most tokens of a calibration text (default: the model's)"},
			&cli.StringFlag{Name: "exclude", Destination: &o.exclude, Usage: "`REGEX` of weights that stay in float32, by module, weight or node"},
			&cli.Float64Flag{Name: "max-loss", Destination: &o.quantize.MaxLoss, Usage: "keep the most sensitive weights in float32, so that vectors of the calibration texts lose at most `N`, as 1 - mean cosine (default: no limit)"},
			&cli.BoolFlag{Name: "reduce-range", Destination: &o.quantize.ReduceRange, Usage: "weights in 7 bits, for CPUs without VNNI"},
			&cli.BoolFlag{Name: "measure", Value: true, Destination: &o.measure, Usage: "run the model on the calibration texts, to correct int8-weight and int4-weight and to tell what is lost; without, memory for one weight at a time is enough"},
			&cli.BoolFlag{Name: "plan-only", Destination: &o.planOnly, Usage: "print the plan and write nothing"},
			&cli.StringFlag{Name: "pooling", Aliases: []string{"pooling-method", "sentence-pooling-method"}, Destination: &o.open.Pooling, Usage: "how tokens become one vector: " + poolingNames() + " (default: as the model says, else mean)"},
			&cli.StringFlag{Name: "tokenizer", Destination: &o.open.Tokenizer, Usage: "tokenizer.json `FILE`, where it is not beside the model"},
			&cli.BoolFlag{Name: "external-data", Destination: &o.save.External, Usage: "put the weights beside the ONNX file, whatever their size (over 1 GiB they always are)"},
			&cli.StringFlag{Name: "variant", Destination: &o.save.Variant, Usage: "add onnx/model_`NAME`.onnx to the directory instead of making one"},
			&cli.BoolFlag{Name: "overwrite", Aliases: []string{"overwrite-output-dir"}, Destination: &o.save.Overwrite, Usage: "replace what is there"},
			&cli.StringFlag{Name: "model-name-or-path", Destination: &o.model, Usage: "the MODEL, as a flag"},
			jsonFlag(&o.json),
		},
		Action: func(c *cli.Context) error {
			model, err := modelArg(c, o.model)
			if err != nil {
				return err
			}
			o.model = model
			if o.out == "" && o.save.Variant != "" {
				o.out = model
			}
			if o.out == "" && !o.planOnly {
				return withHint(usagef("quantize needs an output directory"), "add -o DIR")
			}
			if err := o.check(); err != nil {
				return err
			}
			return quantizeModel(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func schemeNames() string {
	return listed(quantize.Schemes(), func(s quantize.Scheme) string { return s.Name })
}

func methodNames() string {
	return listed(quantize.Methods(), func(m quantize.Method) string { return m.Name })
}

// check finds mistakes of the command line before a model is read.
func (o *quantizeOptions) check() error {
	s, err := quantize.SchemeNamed(o.quantize.Scheme)
	if err != nil {
		return usagef("quantize: %v", err)
	}
	o.quantize.Scheme, o.quantize.Target = s.Name, quantize.Target(o.target)
	targets := listed(quantize.Targets(), func(t quantize.Target) string { return string(t) })
	if err := cmp.Or(checkName("quantize", "target", o.target, targets), checkName("quantize", "calibration-method", o.quantize.Method, methodNames())); err != nil {
		return err
	}
	if o.exclude != "" {
		if o.quantize.Exclude, err = regexp.Compile(o.exclude); err != nil {
			return usagef("quantize: --exclude: %v", err)
		}
	}
	if !(o.quantize.MaxLoss >= 0) || math.IsInf(o.quantize.MaxLoss, 0) || o.samples < 1 {
		return usagef("quantize: --max-loss %g and --calibration-samples %d: want at least 0 and at least 1", o.quantize.MaxLoss, o.samples)
	}
	switch {
	case o.measure:
	case s.Calibrates():
		return usagef("quantize: %s measures ranges of activations: --measure=false is for the other schemes", s.Name)
	case o.quantize.MaxLoss > 0:
		return usagef("quantize: --max-loss is measured: leave out --measure=false")
	}
	return checkPooling(o.open.Pooling)
}

func quantizeModel(ctx context.Context, o *quantizeOptions, stdout, stderr io.Writer) error {
	m, err := openModel(ctx, o.model, o.open, stderr)
	if err != nil {
		return err
	}
	defer m.Close()
	if !o.planOnly {
		if err := checkOutput(m, o.out, o.save); err != nil {
			return err
		}
	}
	if _, err := m.Raise(); err != nil {
		return fmt.Errorf("quantize %q: %w", o.model, err)
	}
	which := everyWeight
	if !o.measure {
		which = vectors // matrices are looked at as they are rounded: a model of any size is read once
	}
	if err := checkNumbers(m.Graph.Graph, which); err != nil {
		return fmt.Errorf("quantize %q: %w", o.model, err)
	}
	if o.measure {
		if err := o.measureOn(ctx, m, stderr); err != nil {
			return err
		}
	}
	plan, err := quantize.New(ctx, m.Graph, o.quantize)
	if err != nil {
		return fmt.Errorf("quantize %q: %w", o.model, err)
	}
	if o.planOnly {
		err = plan.Measure(ctx)
	} else {
		err = o.write(ctx, m, plan, stderr)
	}
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(stdout, plan)
	}
	printQuantization(stdout, plan)
	if !o.planOnly {
		fmt.Fprintln(stdout, onnxPath(o.out, o.save.Variant))
	}
	return nil
}

// measuredTexts bounds the texts that a loss is measured on: it may be measured once for each weight.
const measuredTexts = 64

// measureOn gives the quantizer what it measures with: the model's tokenizer and the calibration texts.
func (o *quantizeOptions) measureOn(ctx context.Context, m *convert.Model, stderr io.Writer) error {
	o.quantize.Log = func(format string, args ...any) { fmt.Fprintf(stderr, "graft: "+format+"\n", args...) }
	sample := measureOptions{texts: o.calibration, samples: o.samples}
	texts, err := sample.sample(ctx)
	if err != nil {
		return err
	}
	run, err := runnable(m, tokenizer.Options{})
	if err != nil {
		return err
	}
	if o.quantize.Activations, err = runtime.NewRecorder(ctx, run, texts, runtime.RecordOptions{MaxLength: o.maxLength}); err != nil {
		return err
	}
	measured := texts[:min(len(texts), measuredTexts)]
	o.quantize.Vectors = func(ctx context.Context, g *graph.Model) ([][]float32, error) {
		return vectorsOf(ctx, g, run, measured, o.maxLength)
	}
	return nil
}

// vectorsOf runs a lowered graph on the CPU provider.
func vectorsOf(ctx context.Context, g *graph.Model, run runtime.Model, texts []string, maxLength int) ([][]float32, error) {
	dir, err := os.MkdirTemp("", "graft-quantize-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	run.Path, run.Graph = filepath.Join(dir, "model.onnx"), g
	if err := onnx.Write(run.Path, g, onnx.Options{}); err != nil {
		return nil, err
	}
	e, err := runtime.Open(ctx, run, runtime.Options{Provider: "cpu"})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	v, err := e.Encode(ctx, texts, runtime.EncodeOptions{MaxLength: maxLength})
	if err != nil {
		return nil, err
	}
	rows := make([][]float32, v.Rows)
	for i := range rows {
		rows[i] = v.Row(i)
	}
	return rows, nil
}

// write puts the quantized graph into a model directory.
func (o *quantizeOptions) write(ctx context.Context, m *convert.Model, plan *quantize.Plan, stderr io.Writer) error {
	options := map[string]any{"scheme": plan.Scheme, "target": string(plan.Target)}
	if plan.Smooth {
		options["smooth"] = true
	}
	if plan.Method != "" {
		options["calibration_method"] = plan.Method
	}
	if o.exclude != "" {
		options["exclude"] = o.exclude
	}
	if len(plan.Exclude) > 0 {
		options["sensitive"] = plan.Exclude
	}
	changes := map[string]any{"layers": plan.Layers, "bytes_before": plan.Before, "bytes_after": plan.After}
	if plan.Loss != nil {
		changes["loss"] = *plan.Loss
	}
	o.save.Lowered, o.save.Version = true, version
	o.save.Step = convert.Step{Command: "quantize", Options: options, Changes: changes}
	if err := m.ReplaceGraph(plan.Apply()); err != nil {
		return err
	}
	end := showWriting(&o.save, stderr)
	warnings, err := convert.Save(ctx, o.out, m, o.save)
	end()
	for _, w := range append(m.Warnings, warnings...) {
		fmt.Fprintf(stderr, "graft: warning: %s\n", w)
	}
	return overwriteHint(err)
}

// printQuantization prints what becomes of each weight, and of all.
func printQuantization(w io.Writer, p *quantize.Plan) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "weight\tkind\tshape\tform\tKiB before\tafter\trelative error")
	for _, l := range p.Layers {
		e := "-"
		if l.Error != nil {
			e = fmt.Sprintf("%.5f", *l.Error)
		}
		fmt.Fprintf(t, "%s\t%s\t%v\t%s\t%d\t%d\t%s\n", l.Name, l.Kind, l.Shape, l.Form, l.Before>>10, l.After>>10, e)
	}
	t.Flush()
	fmt.Fprintf(w, "%s for %s: weights %.1f MB -> %.1f MB (%.1f%%)\n", p.Scheme, p.Target, float64(p.Before)/1e6, float64(p.After)/1e6, 100*float64(p.After)/float64(p.Before))
	if len(p.Exclude) > 0 {
		fmt.Fprintf(w, "kept in float32 for their sensitivity: %s\n", strings.Join(p.Exclude, ", "))
	}
	if p.Loss != nil {
		fmt.Fprintf(w, "vectors: mean cosine %.5f to those before\n", 1-*p.Loss)
	}
}
