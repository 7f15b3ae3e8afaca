package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"graft/evaluate"
	"graft/runtime"
)

// benchOptions are what bench is asked for.
type benchOptions struct {
	encoder         encoderOptions
	texts           string
	data            string
	samples, stride int
	maxLength       int
	providers       cli.StringSlice
	precisions      cli.StringSlice
	peers           cli.StringSlice
	run             runtime.BenchOptions
	serve           bool
	json            bool
}

func benchCommand() *cli.Command {
	o := &benchOptions{}
	flags := slices.DeleteFunc(o.encoder.flags(), func(f cli.Flag) bool {
		return f.Names()[0] == "provider" || f.Names()[0] == "precision"
	})
	return &cli.Command{
		Name: "bench", Usage: "latency, throughput, memory and size of models, side by side in one run", ArgsUsage: "MODEL…",
		Description: "Each model runs in a process of its own; they take turns. A model may be written MODEL:VARIANT@PROVIDER@PRECISION;\n" +
			"--providers and --precisions run every model under each of them.",
		Flags: counts(append(flags,
			&cli.StringSliceFlag{Name: "providers", Aliases: []string{"provider"}, Value: cli.NewStringSlice(runtime.Auto), Destination: &o.providers, Usage: "run each model on these providers"},
			&cli.StringSliceFlag{Name: "precisions", Aliases: []string{"precision"}, Value: cli.NewStringSlice("fp32"), Destination: &o.precisions, Usage: "and in these precisions"},
			&cli.StringFlag{Name: "texts", Destination: &o.texts, Usage: "`FILE` of texts: .jsonl with a field \"text\", or lines; .gz of either (default: a built-in sample)"},
			&cli.StringFlag{Name: "data", Destination: &o.data, Usage: "take the documents of the data set in `DIR` instead"},
			&cli.IntFlag{Name: "samples", Value: 1000, Destination: &o.samples, Usage: "use at most `N` texts"},
			&cli.IntFlag{Name: "stride", Value: 1, Destination: &o.stride, Usage: "use every N-th text"},
			&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.maxLength, Usage: "most tokens of a text (default: the model's)"},
			&cli.IntFlag{Name: "repeat", Value: 5, Destination: &o.run.Repeat, Usage: "measured rounds, after one of warm-up"},
			&cli.BoolFlag{Name: "latency", Destination: &o.run.Latency, Usage: "also one text at a time"},
			&cli.BoolFlag{Name: "vectors", Destination: &o.run.Vectors, Usage: "also compare the vectors with the first contender's"},
			&cli.StringSliceFlag{Name: "peer", Destination: &o.peers, Usage: "`NAME=COMMAND` of another program that speaks the protocol of runtime/bench.go; {texts} and {max_length} are filled in"},
			&cli.BoolFlag{Name: "serve", Destination: &o.serve, Hidden: true},
			jsonFlag(&o.json),
		)),
		Action: func(c *cli.Context) error {
			if o.serve {
				return o.answer(c.Context, c.Args().First(), os.Stdin, c.App.Writer, c.App.ErrWriter)
			}
			if c.NArg() == 0 {
				return usagef("bench needs at least one MODEL")
			}
			for flag, n := range map[string]int{"repeat": o.run.Repeat, "samples": o.samples, "stride": o.stride} {
				if n < 1 {
					return usagef("bench: --%s %d, want at least 1", flag, n)
				}
			}
			return o.bench(c.Context, c.Args().Slice(), c.App.Writer, c.App.ErrWriter)
		},
	}
}

// answer is a contender's process.
func (o *benchOptions) answer(ctx context.Context, model string, in io.Reader, out, stderr io.Writer) error {
	start := time.Now()
	o.encoder.run.Provider, o.encoder.run.Precision = o.providers.Value()[0], o.precisions.Value()[0]
	list, err := allTexts(ctx, o.texts, 0)
	if err != nil {
		return err
	}
	e, err := openEncoder(ctx, model, o.encoder, stderr)
	if err != nil {
		return err
	}
	defer e.Close()
	return runtime.Serve(ctx, e.Encoder, list, runtime.EncodeOptions{MaxLength: o.maxLength}, time.Since(start), in, out)
}

func (o *benchOptions) bench(ctx context.Context, models []string, stdout, stderr io.Writer) error {
	list, err := o.sample(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "graft-bench-*")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "texts.jsonl")
	if err := writeTexts(file, list); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	contenders, err := o.contenders(models, file)
	if err != nil {
		return err
	}
	o.run.Log = func(format string, args ...any) { fmt.Fprintf(stderr, "graft: "+format+"\n", args...) }
	results, err := runtime.Bench(ctx, contenders, o.run)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(map[string]any{"texts": len(list), "results": results})
	}
	printBench(stdout, results, o.run)
	return nil
}

// sample is every stride-th of the texts, at most samples of them.
func (o *benchOptions) sample(ctx context.Context) ([]string, error) {
	var all []string
	var err error
	switch most := o.samples * o.stride; {
	case o.data != "":
		all, err = documents(o.data, most)
	case o.texts != "":
		all, err = allTexts(ctx, o.texts, most)
	default:
		all = runtime.SampleTexts()
	}
	if err != nil {
		return nil, err
	}
	var list []string
	for i := 0; i < len(all) && len(list) < o.samples; i += o.stride {
		list = append(list, all[i])
	}
	return list, nil
}

// documents are the first n documents of a data set, as an evaluation encodes them.
func documents(dir string, n int) ([]string, error) {
	d, err := evaluate.OpenDataset(dir, "test")
	if err != nil {
		return nil, err
	}
	var all []string
	for doc, err := range d.Documents {
		if err != nil {
			return nil, err
		}
		if all = append(all, doc.EncoderText()); len(all) == n {
			break
		}
	}
	return all, nil
}

func writeTexts(path string, list []string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for _, t := range list {
		if err := enc.Encode(map[string]string{"text": t}); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}

// contenders makes a row of every model with every provider and precision, then the peers.
func (o *benchOptions) contenders(models []string, file string) ([]runtime.Contender, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	var list []runtime.Contender
	for _, m := range models {
		for _, provider := range o.providers.Value() {
			for _, precision := range o.precisions.Value() {
				path, variant, p, q := splitModel(m, provider, precision)
				if err := (runtime.Options{Provider: p, Precision: q}).Check(); err != nil {
					return nil, fmt.Errorf("bench %s: %w", m, err)
				}
				args := []string{self, "bench", "--serve", "--provider=" + p, "--precision=" + q, "--texts=" + file,
					fmt.Sprintf("--max-length=%d", o.maxLength), fmt.Sprintf("--runs=%d", o.encoder.run.Runs), fmt.Sprintf("--threads=%d", o.encoder.run.Threads),
					fmt.Sprintf("--batch-tokens=%d", o.encoder.run.BatchTokens), fmt.Sprintf("--batch-size=%d", o.encoder.run.BatchSize)}
				for flag, value := range map[string]string{"variant": variant, "tokenizer": o.encoder.open.Tokenizer, "pooling": o.encoder.open.Pooling} {
					if value != "" {
						args = append(args, "--"+flag+"="+value)
					}
				}
				for _, option := range o.encoder.options.Value() {
					args = append(args, "--provider-option="+option)
				}
				name := strings.Join([]string{filepath.Base(path), variant, p, q}, " ")
				list = append(list, runtime.Contender{Name: strings.Join(strings.Fields(name), " "), Model: modelAndVariant(path, variant), Command: append(args, path), File: modelFile(path, variant)})
			}
		}
	}
	for _, p := range o.peers.Value() {
		name, command, ok := strings.Cut(p, "=")
		if !ok {
			return nil, usagef("bench: --peer %q is not NAME=COMMAND", p)
		}
		words := strings.Fields(strings.NewReplacer("{texts}", file, "{max_length}", fmt.Sprint(o.maxLength)).Replace(command))
		list = append(list, runtime.Contender{Name: name, Command: words})
	}
	return list, nil
}

// splitModel reads MODEL:VARIANT@PROVIDER@PRECISION, where all but MODEL may be left out.
func splitModel(s, provider, precision string) (path, variant, p, q string) {
	parts := strings.SplitN(s, "@", 3)
	p, q = provider, precision
	if len(parts) > 1 {
		p = parts[1]
	}
	if len(parts) > 2 {
		q = parts[2]
	}
	path, variant, _ = strings.Cut(parts[0], ":")
	if path == "hf" {
		path, variant = parts[0], ""
	}
	return path, variant, p, q
}

// modelAndVariant is what splitModel reads, without where it runs.
func modelAndVariant(path, variant string) string {
	if variant == "" {
		return path
	}
	return path + ":" + variant
}

// modelFile is the file whose size is shown.
func modelFile(path, variant string) string {
	if filepath.Ext(path) == ".onnx" {
		return path
	}
	if variant != "" {
		return onnxPath(path, variant)
	}
	if file := onnxPath(path, ""); fileExists(file) {
		return file
	}
	return filepath.Join(path, "model.safetensors")
}

func printBench(w io.Writer, results []runtime.BenchResult, o runtime.BenchOptions) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "model\tdocs/s min\tmedian\tmax\ttokens/s\tratio\tload s\tpeak MB\tfile MB"
	if o.Latency {
		head += "\tp50 ms\tp95 ms"
	}
	if o.Vectors {
		head += "\tmin cosine"
	}
	fmt.Fprintln(t, head)
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.0f\t%.2f\t%.2f\t%d\t%.0f",
			r.Name, slices.Min(r.Rates), runtime.Median(r.Rates), slices.Max(r.Rates), runtime.Median(r.TokenRates),
			runtime.MedianRatio(r.Rates, results[0].Rates), r.LoadSeconds, r.PeakBytes>>20, float64(r.FileBytes)/1e6)
		if o.Latency {
			fmt.Fprintf(t, "\t%.1f\t%.1f", 1e3*runtime.Percentile(r.Latencies, 50), 1e3*runtime.Percentile(r.Latencies, 95))
		}
		if o.Vectors {
			fmt.Fprintf(t, "\t%.6f", r.Cosine)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	fmt.Fprintln(w, "ratio: median over the rounds of docs/s to the first row's in the same round")
}
