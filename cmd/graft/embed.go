package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"

	"github.com/urfave/cli/v2"

	"graft/evaluate"
	"graft/runtime"
)

// embedOptions are what embed is asked for.
type embedOptions struct {
	encoder       encoderOptions
	model         string
	input, output string
	prompt        *string // nil: that of the role, else the model's default
	as            string
	suffix        string // of the role
	pairs         bool   // texts are pairs without a title
	maxLength     int
	dim           int
	shard         shard
	json          bool
}

func embedCommand() *cli.Command {
	o := &embedOptions{}
	return &cli.Command{
		Name: "embed", Usage: "turn texts into vectors", ArgsUsage: "MODEL",
		Flags: counts(append(append(o.encoder.flags(), o.encoder.preset.flags()...),
			&cli.StringFlag{Name: "input", Aliases: []string{"i"}, Value: "-", Destination: &o.input, Usage: "`FILE` of texts: .jsonl with a field \"text\", or lines; .gz of either; - is standard input"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "-", Destination: &o.output, Usage: "`FILE` for the vectors: .jsonl, .npy or .parquet; - is standard output"},
			&cli.GenericFlag{Name: "prompt", Value: &optionalString{&o.prompt}, Usage: "`TEXT` put before each text (default: that of --as, else the model's default prompt)"},
			&cli.StringFlag{Name: "as", Destination: &o.as, Usage: "query or document: put the model's own prompt before each text"},
			&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.maxLength, Usage: "most tokens of a text (default: the model's)"},
			&cli.IntFlag{Name: "dim", Destination: &o.dim, Usage: "keep the first `N` features and normalize again (Matryoshka models)"},
			&cli.GenericFlag{Name: "shard", Value: &o.shard, Usage: "`I/N`: embed every N-th text, beginning with text I (from 1)"},
			&cli.StringFlag{Name: "model-name-or-path", Destination: &o.model, Usage: "the MODEL, as a flag"},
			jsonFlag(&o.json),
		)),
		Action: func(c *cli.Context) error {
			model, err := modelArg(c, o.model)
			if err != nil {
				return err
			}
			o.model = model
			return embed(c.Context, *o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

// embedChunk is how many texts are read and embedded at a time.
const embedChunk = 8192

func embed(ctx context.Context, o embedOptions, stdout, stderr io.Writer) error {
	if err := checkVectorOutput(o.output); err != nil {
		return err
	}
	if o.json && o.output == "-" {
		return withHint(usagef("embed: standard output cannot take both the vectors and --json's object"), "name a file for the vectors with --output")
	}
	if o.as != "" && o.as != string(evaluate.QueryRole) && o.as != string(evaluate.DocumentRole) {
		return usagef("embed: --as %q is neither query nor document", o.as)
	}
	e, err := openEncoder(ctx, o.model, o.encoder, stderr)
	if err != nil {
		return err
	}
	defer e.Close()
	dim := e.Dim
	if o.dim > 0 {
		if o.dim > dim {
			return usagef("embed: --dim %d, but the model's vectors have %d features", o.dim, dim)
		}
		dim = o.dim
	}
	if o.prompt == nil {
		prompts := e.model.Modules.Prompts
		prompt := prompts[e.model.Modules.DefaultPrompt]
		if o.as != "" {
			prompt = evaluate.Prompt(prompts, "", evaluate.Role(o.as))
		}
		o.prompt = &prompt
	}
	if o.as != "" {
		role := evaluate.Role(o.as)
		o.suffix, o.pairs = e.model.Modules.Suffixes[o.as], role == evaluate.DocumentRole && e.model.Modules.PairTitles
		o.maxLength = cmp.Or(o.maxLength, e.preset.length(role, e))
	}
	out, err := newOutputVectors(o.output, dim, stdout)
	if err != nil {
		return err
	}
	n, err := embedAll(ctx, e, o, dim, out, newProgress(stderr, "texts"))
	if err != nil {
		out.abandon()
		return err
	}
	if err := out.finish(); err != nil || !o.json {
		return err
	}
	return printJSON(stdout, map[string]any{"output": o.output, "texts": n, "dim": dim, "provider": e.Provider, "precision": e.Precision})
}

// embedAll embeds the texts of the input and returns how many there were.
func embedAll(ctx context.Context, e *encoder, o embedOptions, dim int, out *outputVectors, p *progress) (done int, err error) {
	defer p.done()
	var chunk []string
	flush := func() error {
		options := runtime.EncodeOptions{Prompt: *o.prompt, Suffix: o.suffix, MaxLength: o.maxLength, Progress: func(n, _ int) {
			p.update("embedding", done+n, 0)
		}}
		given := chunk
		if o.pairs {
			options.Separator, given = evaluate.PairSeparator, untitled(chunk)
		}
		v, err := e.Encode(ctx, given, options)
		if err != nil {
			return err
		}
		for i, text := range chunk {
			if err := out.write(text, cut(v.Row(i), dim)); err != nil {
				return fmt.Errorf("write vectors: %w", err)
			}
		}
		done += len(chunk)
		chunk = chunk[:0]
		return nil
	}
	n := 0
	for text, err := range texts(ctx, o.input) {
		if err != nil {
			return done, err
		}
		if n++; !o.shard.has(n - 1) {
			continue
		}
		if chunk = append(chunk, text); len(chunk) == embedChunk {
			if err := flush(); err != nil {
				return done, err
			}
		}
	}
	if len(chunk) > 0 {
		if err := flush(); err != nil {
			return done, err
		}
	}
	if n == 0 {
		return done, fmt.Errorf("read texts: %s: no texts", o.input)
	}
	return done, nil
}

// untitled are texts as pairs of no title and the text.
func untitled(texts []string) []string {
	pairs := make([]string, len(texts))
	for i, text := range texts {
		pairs[i] = evaluate.PairSeparator + text
	}
	return pairs
}

// cut is v's first dim features; shorter than v, they are normalized to length 1 again.
func cut(v []float32, dim int) []float32 {
	if dim == len(v) {
		return v
	}
	v = v[:dim]
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	length := float32(max(math.Sqrt(sum), 1e-12))
	for i := range v {
		v[i] /= length
	}
	return v
}

// shard is a part of work that several processes share: I/N.
type shard struct{ index, of int }

func (s *shard) Set(text string) error {
	var i, n int
	if _, err := fmt.Sscanf(text, "%d/%d", &i, &n); err != nil || i < 1 || n < 1 || i > n || fmt.Sprintf("%d/%d", i, n) != text {
		return fmt.Errorf("%q is not I/N with 1 ≤ I ≤ N", text)
	}
	s.index, s.of = i-1, n
	return nil
}

func (s *shard) String() string {
	if s.of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.index+1, s.of)
}

// has reports whether item i is in the shard.
func (s *shard) has(i int) bool { return s.of == 0 || i%s.of == s.index }
