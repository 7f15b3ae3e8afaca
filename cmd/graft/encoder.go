package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/runtime"
	"graft/runtime/tokenizer"
)

// encoderOptions say which model a command runs, and how. They are the flags that eval, embed,
// verify and bench share.
type encoderOptions struct {
	open    convert.OpenOptions
	run     runtime.Options
	tokens  tokenizer.Options
	padding string
	preset  presetOptions   // of the commands that have its flags
	quant   string          // scheme of package quantize that weights are loaded in; "": as they are
	options cli.StringSlice // --provider-option
}

func (o *encoderOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "provider", Value: runtime.Auto, Destination: &o.run.Provider, Usage: "where to run: auto, cpu, openvino, cuda or tensorrt"},
		&cli.StringFlag{Name: "precision", Value: "fp32", Destination: &o.run.Precision, Usage: "fp32, bf16 or fp16, as far as the provider has it"},
		&cli.StringSliceFlag{Name: "provider-option", Destination: &o.options, Usage: "`NAME=VALUE` passed to the provider under ONNX Runtime's name, such as device_id=1"},
		&cli.IntFlag{Name: "threads", Destination: &o.run.Threads, Usage: "threads to compute on (default: one per core)"},
		&cli.IntFlag{Name: "runs", Destination: &o.run.Runs, Usage: "batches that run at once, sharing the threads; 1 gives a single text the lowest latency (default: as the provider does best)"},
		&cli.IntFlag{Name: "batch-tokens", Destination: &o.run.BatchTokens, Usage: "most tokens in a batch, padding included (default: as the provider does best)"},
		&cli.IntFlag{Name: "batch-size", Aliases: []string{"eval-batch-size"}, Destination: &o.run.BatchSize, Usage: "most texts in a batch (default: as many as --batch-tokens allows)"},
		&cli.StringFlag{Name: "variant", Destination: &o.open.Variant, Usage: "run onnx/model_`NAME`.onnx of the model directory"},
		&cli.StringFlag{Name: "tokenizer", Destination: &o.open.Tokenizer, Usage: "tokenizer.json `FILE`, where it is not beside the model"},
		&cli.StringFlag{Name: "pooling", Aliases: []string{"pooling-method", "sentence-pooling-method"}, Destination: &o.open.Pooling, Usage: "how tokens become one vector: " + poolingNames() + " (default: as the model says, else mean)"},
		&cli.StringFlag{Name: "pad-token", Destination: &o.tokens.PadToken, Usage: "unk_token, eos_token, pad_token or a token, instead of the tokenizer's"},
		&cli.StringFlag{Name: "padding-side", Destination: &o.padding, Usage: "left or right; either gives the same vectors"},
		&cli.GenericFlag{Name: "add-bos-token", Value: &optionalBool{&o.tokens.AddBOSToken}, Usage: "0 or 1: begin each text with the bos token"},
		&cli.GenericFlag{Name: "add-eos-token", Value: &optionalBool{&o.tokens.AddEOSToken}, Usage: "0 or 1: end each text with the eos token"},
	}
}

func poolingNames() string {
	return listed(convert.PoolingModes(), func(p convert.PoolingMode) string { return p.Flag })
}

// checkPooling refuses a --pooling that there is not; several are joined by "+", none is the model's.
func checkPooling(names string) error {
	for _, name := range strings.Split(names, "+") {
		if names != "" && !slices.ContainsFunc(convert.PoolingModes(), func(p convert.PoolingMode) bool { return name == p.Name || name == p.Flag }) {
			return usagef("unknown pooling %q (known: %s)", name, poolingNames())
		}
	}
	return nil
}

// optionalBool is a flag that may be left out.
type optionalBool struct{ value **bool }

func (b *optionalBool) Set(s string) error {
	v, ok := map[string]bool{"1": true, "true": true, "True": true, "0": false, "false": false, "False": false}[s]
	if !ok {
		return fmt.Errorf("%q is neither 0 nor 1", s)
	}
	*b.value = &v
	return nil
}

func (b *optionalBool) String() string {
	if b.value == nil || *b.value == nil {
		return ""
	}
	return fmt.Sprint(**b.value)
}

// encoder is a model that is open and ready to run.
type encoder struct {
	*runtime.Encoder
	model  *convert.Model
	hash   string
	preset presetOptions

	special   map[string]string // tokens around each text, where they are not those of the tokenizer's file
	temporary string            // folder of the file that runs; "": it is the model's own
}

// openEncoder opens MODEL and prepares it to run. What the user should know goes to log.
func openEncoder(ctx context.Context, path string, o encoderOptions, log io.Writer) (*encoder, error) {
	o.open.ONNX = true
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := o.settle(); err != nil {
		return nil, err
	}
	m, err := openModel(ctx, path, o.open, log)
	if err != nil {
		return nil, err
	}
	temporary := ""
	if o.quant != "" {
		if temporary, err = quantized(ctx, m, o.quant, o.run); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	e, err := newEncoder(ctx, m, o, log)
	if err != nil {
		return nil, errors.Join(err, m.Close(), os.RemoveAll(temporary))
	}
	e.temporary = temporary
	return e, nil
}

// check refuses values of flags that nothing knows, before a model is opened.
func (o *encoderOptions) check() error {
	if o.padding != "" && o.padding != string(tokenizer.Left) && o.padding != string(tokenizer.Right) {
		return usagef("--padding-side %q is neither left nor right", o.padding)
	}
	return cmp.Or(checkPooling(o.open.Pooling), o.run.Check())
}

// settle lets the preset say what flags leave open.
func (o *encoderOptions) settle() error {
	o.open.AddBOSToken, o.open.AddEOSToken = o.tokens.AddBOSToken, o.tokens.AddEOSToken
	if err := o.preset.settle(&o.open); err != nil {
		return err
	}
	o.tokens.AddBOSToken, o.tokens.AddEOSToken = o.open.AddBOSToken, o.open.AddEOSToken
	if p := o.preset.Preset; p != nil {
		o.tokens.PadToken, o.padding = cmp.Or(o.tokens.PadToken, p.PadToken), cmp.Or(o.padding, p.PaddingSide)
	}
	return nil
}

// special tells results apart that other begin and end tokens gave; nil where they are the tokenizer's own.
func (o *encoderOptions) special() map[string]string {
	var given map[string]string
	for name, on := range map[string]*bool{"add_bos_token": o.tokens.AddBOSToken, "add_eos_token": o.tokens.AddEOSToken} {
		if on != nil {
			if given == nil {
				given = map[string]string{}
			}
			given[name] = fmt.Sprint(*on)
		}
	}
	return given
}

func newEncoder(ctx context.Context, m *convert.Model, o encoderOptions, log io.Writer) (*encoder, error) {
	for _, w := range m.Warnings {
		fmt.Fprintf(log, "graft: warning: %s\n", w)
	}
	o.tokens.PaddingSide = tokenizer.Side(o.padding)
	run, err := runnable(m, o.tokens)
	if err != nil {
		return nil, err
	}
	hash, err := m.Hash()
	if err != nil {
		return nil, err
	}
	o.run.ProviderOptions, err = pairs(o.options.Value())
	if err != nil {
		return nil, err
	}
	o.run.Log = func(format string, args ...any) { fmt.Fprintf(log, "graft: "+format+"\n", args...) }
	run.ID, run.Path = hash, m.File
	e, err := runtime.Open(ctx, run, o.run)
	if err != nil {
		return nil, err
	}
	return &encoder{Encoder: e, model: m, hash: hash, preset: o.preset, special: o.special()}, nil
}

// runnable is m's graph behind its tokenizer.
func runnable(m *convert.Model, o tokenizer.Options) (runtime.Model, error) {
	if m.Tokenizer == "" {
		return runtime.Model{}, fmt.Errorf("read model %q: %w", m.Path, runtime.ErrNoTokenizer)
	}
	if err := m.CheckSizes(); err != nil {
		return runtime.Model{}, err
	}
	tok, err := tokenizer.FromFile(m.Tokenizer, o)
	if err != nil {
		return runtime.Model{}, err
	}
	return runtime.Model{Graph: m.Graph, Tokenizer: tok, MaxLength: m.Modules.MaxLength, Positions: m.Sizes.Positions, LowerCase: m.Modules.LowerCase,
		PromptPooling: string(m.Modules.PromptPooling)}, nil
}

// pairs reads NAME=VALUE arguments.
func pairs(list []string) (map[string]string, error) {
	m := map[string]string{}
	for _, s := range list {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, usagef("%q is not NAME=VALUE", s)
		}
		m[name] = value
	}
	return m, nil
}

// Close frees the model.
func (e *encoder) Close() error {
	return errors.Join(e.Encoder.Close(), e.model.Close(), os.RemoveAll(e.temporary))
}
