package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"graft/runtime"
)

// verifyOptions are what verify is asked for.
type verifyOptions struct {
	encoder   encoderOptions
	texts     string
	samples   int
	minCosine float64
	maxLength int
	json      bool
}

func verifyCommand() *cli.Command {
	o := &verifyOptions{}
	return &cli.Command{
		Name: "verify", Usage: "run two models on texts and compare their vectors", ArgsUsage: "A B",
		Description: "Either may be written MODEL:VARIANT.",
		Flags: counts(append(o.encoder.flags(),
			&cli.StringFlag{Name: "texts", Destination: &o.texts, Usage: "`FILE` of texts: .jsonl with a field \"text\", or lines (default: a built-in sample)"},
			&cli.IntFlag{Name: "samples", Value: 200, Destination: &o.samples, Usage: "use the first `N` texts"},
			&cli.Float64Flag{Name: "min-cosine", Value: 0.9999, Destination: &o.minCosine, Usage: "exit with 3 where a text's vectors are further apart"},
			&cli.IntFlag{Name: "max-length", Aliases: []string{"max-seq-length"}, Destination: &o.maxLength, Usage: "most tokens of a text (default: the model's)"},
			jsonFlag(&o.json),
		)),
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usagef("verify takes two models, got %d", c.NArg())
			}
			if o.samples < 1 {
				return usagef("verify: --samples %d, want at least 1", o.samples)
			}
			if !(o.minCosine >= -1 && o.minCosine <= 1) {
				return usagef("verify: --min-cosine %g, want a cosine, -1 to 1", o.minCosine)
			}
			return verify(c.Context, *o, c.Args().Get(0), c.Args().Get(1), c.App.Writer, c.App.ErrWriter)
		},
	}
}

func verify(ctx context.Context, o verifyOptions, pathA, pathB string, stdout, stderr io.Writer) error {
	sample := runtime.SampleTexts()
	sample = sample[:min(len(sample), o.samples)]
	if o.texts != "" {
		var err error
		if sample, err = allTexts(ctx, o.texts, o.samples); err != nil {
			return err
		}
	}
	a, err := o.openOne(ctx, pathA, stderr)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := o.openOne(ctx, pathB, stderr)
	if err != nil {
		return err
	}
	defer b.Close()
	v, err := runtime.Verify(ctx, a.Encoder, b.Encoder, sample, runtime.EncodeOptions{MaxLength: o.maxLength})
	if err != nil {
		return err
	}
	if o.json {
		if err := printJSON(stdout, v); err != nil {
			return err
		}
	} else {
		printVerification(stdout, v)
	}
	switch {
	case v.A.NotFinite+v.B.NotFinite > 0:
		return checkf("vectors that are not finite: %d texts by A, %d by B", v.A.NotFinite, v.B.NotFinite)
	case !(float64(v.AB.MinCosine) >= o.minCosine):
		return checkf("cosine %.6f on text %d, at least %g is wanted", v.AB.MinCosine, v.AB.WorstText+1, o.minCosine)
	}
	return nil
}

// openOne opens a model that may be written MODEL:VARIANT.
func (o verifyOptions) openOne(ctx context.Context, model string, stderr io.Writer) (*encoder, error) {
	path, variant, _, _ := splitModel(model, "", "")
	if variant != "" {
		o.encoder.open.Variant = variant
	}
	return openEncoder(ctx, path, o.encoder, stderr)
}

func printVerification(w io.Writer, v *runtime.Verification) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "check\tmax |Δ|\tmin cosine\tmean cosine")
	for _, c := range v.Checks {
		fmt.Fprintf(t, "%s\t%.2e\t%.6f\t%.6f\n", c.Name, c.MaxAbs, c.MinCosine, c.MeanCosine)
	}
	t.Flush()
	fmt.Fprintf(w, "%d texts; nearest neighbours kept: %.4f\n", v.Texts, v.Neighbours)
}
