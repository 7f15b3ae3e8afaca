package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/graph"
	"graft/graph/pass"
	"graft/runtime"
)

// exportOptions are what export is asked for.
type exportOptions struct {
	open                        convert.OpenOptions
	preset                      presetOptions
	save                        convert.SaveOptions
	model, out                  string
	target, dtype               string
	opset                       int64
	normalize                   *bool
	queryPrompt, documentPrompt *string
	verify                      bool
	json                        bool
}

// elementTypes are the values of --dtype.
var elementTypes = map[string]graph.DType{"fp32": graph.Float, "fp16": graph.Float16, "bf16": graph.BFloat16}

func exportCommand() *cli.Command {
	o := &exportOptions{}
	return &cli.Command{
		Name: "export", Usage: "write a checkpoint as an ONNX model directory", ArgsUsage: "MODEL",
		Flags: counts(append([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o", "output-dir"}, Destination: &o.out, Usage: "`DIR` to make (with --variant: to add to; default then: MODEL)"},
			&cli.Int64Flag{Name: "opset", Value: 17, Destination: &o.opset, Usage: "version of the operator set, 13 to 23"},
			&cli.StringFlag{Name: "target", Value: string(pass.Portable), Destination: &o.target, Usage: "what the graph is written for: portable, cpu, cuda or tensorrt"},
			&cli.StringFlag{Name: "dtype", Value: "fp32", Destination: &o.dtype, Usage: "what weights are stored and products computed in: fp32, fp16 or bf16"},
			&cli.StringFlag{Name: "pooling", Aliases: []string{"pooling-method", "sentence-pooling-method"}, Destination: &o.open.Pooling, Usage: "how tokens become one vector: " + poolingNames() + " (default: as the model says, else mean)"},
			&cli.GenericFlag{Name: "normalize", Aliases: []string{"normalized"}, Value: &optionalBool{&o.normalize}, Usage: "true or false: give vectors the length 1 (default: as the model says, else true)"},
			&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.open.MaxLength, Usage: "most tokens of a text (default: as the model says)"},
			&cli.GenericFlag{Name: "query-prompt", Aliases: []string{"query-instruction"}, Value: &optionalString{&o.queryPrompt}, Usage: "`TEXT` that belongs before each query"},
			&cli.GenericFlag{Name: "document-prompt", Aliases: []string{"document-instruction"}, Value: &optionalString{&o.documentPrompt}, Usage: "`TEXT` that belongs before each document"},
			&cli.GenericFlag{Name: "add-bos-token", Value: &optionalBool{&o.open.AddBOSToken}, Usage: "0 or 1: write a tokenizer that begins each text with the bos token"},
			&cli.GenericFlag{Name: "add-eos-token", Value: &optionalBool{&o.open.AddEOSToken}, Usage: "0 or 1: write a tokenizer that ends each text with the eos token"},
			&cli.StringFlag{Name: "tokenizer", Destination: &o.open.Tokenizer, Usage: "tokenizer.json `FILE`, where it is not beside the model"},
			&cli.StringFlag{Name: "adapter", Destination: &o.open.Adapter, Usage: "LoRA adapter in PEFT's or PaddleNLP's format to merge into MODEL: a `DIR` or hf:org/name"},
			&cli.BoolFlag{Name: "bidirectional", Destination: &o.open.Bidirectional, Usage: "let a decoder's tokens attend to those behind them"},
			&cli.BoolFlag{Name: "external-data", Destination: &o.save.External, Usage: "put the weights beside the ONNX file, whatever their size (over 1 GiB they always are)"},
			&cli.StringFlag{Name: "variant", Destination: &o.save.Variant, Usage: "add onnx/model_`NAME`.onnx to the directory instead of making one"},
			&cli.BoolFlag{Name: "overwrite", Aliases: []string{"overwrite-output-dir"}, Destination: &o.save.Overwrite, Usage: "replace what is there"},
			&cli.BoolFlag{Name: "verify", Value: true, Destination: &o.verify, Usage: "run what was written: optimized and not, alone and in batches, padded on either side"},
			&cli.StringFlag{Name: "model-name-or-path", Destination: &o.model, Usage: "the MODEL, as a flag"},
			jsonFlag(&o.json),
		}, o.preset.flags()...)),
		Action: func(c *cli.Context) error {
			model, err := modelArg(c, o.model)
			if err != nil {
				return err
			}
			o.model = model
			if o.out == "" && o.save.Variant != "" {
				o.out = model
			}
			if o.out == "" {
				return withHint(usagef("export needs an output directory"), "add -o DIR")
			}
			return export(c.Context, o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// targets are the values of --target.
var targets = []pass.Target{pass.Portable, pass.CPU, pass.CUDA, pass.TensorRT}

// check finds mistakes of the command line before a model is read, and returns the element type.
func (o *exportOptions) check() (graph.DType, error) {
	dtype, ok := elementTypes[o.dtype]
	if !ok {
		return 0, usagef("export: unknown --dtype %q (known: fp32, fp16, bf16)", o.dtype)
	}
	if err := checkName("export", "target", o.target, listed(targets, func(t pass.Target) string { return string(t) })); err != nil {
		return 0, err
	}
	if o.opset < 13 || o.opset > 23 {
		return 0, usagef("export: --opset %d, want 13 to 23", o.opset)
	}
	return dtype, checkPooling(o.open.Pooling)
}

func export(ctx context.Context, o *exportOptions, stdout, stderr io.Writer) error {
	dtype, err := o.check()
	if err != nil {
		return err
	}
	o.open.Normalize = o.normalize
	o.open.Prompts = prompts(o.queryPrompt, o.documentPrompt)
	if err := o.preset.settle(&o.open); err != nil {
		return err
	}
	m, err := openModel(ctx, o.model, o.open, stderr)
	if err != nil {
		return err
	}
	defer m.Close()
	o.save.LowerOptions = pass.LowerOptions{Target: pass.Target(o.target), Opset: o.opset, DType: dtype}
	o.save.Version = version
	o.save.Step = convert.Step{Command: "export", Options: map[string]any{
		"target": o.target, "opset": o.opset, "dtype": o.dtype, "pooling": m.Modules.PoolingName(), "normalize": m.Modules.Normalize,
	}}
	if p := o.preset.named(); p != "" {
		o.save.Step.Options["preset"] = p
	}
	end := showWriting(&o.save, stderr)
	warnings, err := convert.Save(ctx, o.out, m, o.save)
	end()
	for _, w := range append(m.Warnings, warnings...) {
		fmt.Fprintf(stderr, "graft: warning: %s\n", w)
	}
	if err != nil {
		return overwriteHint(err)
	}
	file := onnxPath(o.out, o.save.Variant)
	var checks []runtime.CheckResult
	if o.verify && m.Tokenizer != "" {
		checks, err = verifyExport(ctx, o, m.Graph.ProducerName == "graft", stderr)
	}
	if !o.json {
		fmt.Fprintln(stdout, file)
		return err
	}
	printed := printJSON(stdout, map[string]any{
		"output": o.out, "file": file, "dim": m.Dim, "pooling": m.Modules.PoolingName(), "normalize": m.Modules.Normalize,
		"max_length": m.Modules.MaxLength, "warnings": append(m.Warnings, warnings...), "checks": checks,
	})
	if err == nil {
		err = printed
	}
	return err
}

// What export's own check allows: differences that only rounding explains.
const (
	exportCosine = 0.99999 // fp32
	halfCosine   = 0.999   // fp16 and bf16
)

// verifyExport runs the written file on the built-in texts, where the target's provider is here.
// Of a graph that is not ours, padding on the left is not demanded.
func verifyExport(ctx context.Context, o *exportOptions, ours bool, stderr io.Writer) ([]runtime.CheckResult, error) {
	if t := pass.Target(o.target); t == pass.CUDA || t == pass.TensorRT || o.dtype == "bf16" {
		fmt.Fprintf(stderr, "graft: not verified: the CPU provider does not run a graph for %s in %s; graft verify compares it where it runs\n", t, o.dtype)
		return nil, nil
	}
	run := encoderOptions{open: convert.OpenOptions{Variant: o.save.Variant}, run: runtime.Options{Provider: "cpu"}}
	e, err := openEncoder(ctx, o.out, run, io.Discard)
	if err != nil {
		return nil, fmt.Errorf("verify export: %w", err)
	}
	defer e.Close()
	s, err := e.Steadiness(ctx, runtime.SampleTexts(), runtime.EncodeOptions{})
	if err != nil {
		return nil, fmt.Errorf("verify export: %w", err)
	}
	least := exportCosine
	if o.dtype != "fp32" {
		least = halfCosine
	}
	for _, c := range s.Checks() {
		fmt.Fprintf(stderr, "graft: verified: %s: max |Δ| %.1e, min cosine %.6f\n", c.Name, c.MaxAbs, c.MinCosine)
		if c.Difference == s.LeftPadding && !ours && !(float64(c.MinCosine) >= least) {
			fmt.Fprintf(stderr, "graft: warning: the graph counts positions from the left edge: its texts must be padded on the right, as graft does\n")
			continue
		}
		if !(float64(c.MinCosine) >= least) {
			return s.Checks(), checkf("export %q: %s: cosine %.6f on a built-in text, at least %g is wanted", o.out, c.Name, c.MinCosine, least)
		}
	}
	if s.NotFinite > 0 {
		return s.Checks(), checkf("export %q: %d of the built-in texts have vectors that are not finite", o.out, s.NotFinite)
	}
	return s.Checks(), nil
}
