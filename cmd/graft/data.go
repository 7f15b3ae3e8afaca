package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"graft/evaluate"
)

// makers are the data sets that data can make or fetch, by name.
var makers = []struct {
	name, doc string
	make      func(ctx context.Context, o dataOptions) (count, error)
}{
	{"godoc", "the standard library of the Go installation: comments as queries, functions as documents", makeGodoc},
}

// count is what a data set holds, in the order in which it is told.
type count []struct {
	what string
	n    int
}

// dataOptions are what data is asked for.
type dataOptions struct {
	out       string
	overwrite bool
	json      bool
}

func dataCommand() *cli.Command {
	o := &dataOptions{}
	usage := "NAME is one of:"
	for _, m := range makers {
		usage += fmt.Sprintf("\n  %-8s %s", m.name, m.doc)
	}
	return &cli.Command{
		Name: "data", Usage: "make or fetch a data set, in the BEIR layout", ArgsUsage: "NAME", Description: usage,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o", "output-dir"}, Destination: &o.out, Usage: "`DIR` to make"},
			&cli.BoolFlag{Name: "overwrite", Destination: &o.overwrite, Usage: "replace DIR"},
			jsonFlag(&o.json),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("data takes one NAME, got %d", c.NArg())
			}
			if o.out == "" {
				return withHint(usagef("data needs an output directory"), "add -o DIR")
			}
			return data(c.Context, c.Args().First(), *o, c.App.Writer)
		},
	}
}

func data(ctx context.Context, name string, o dataOptions, stdout io.Writer) error {
	var known []string
	for _, m := range makers {
		if m.name != name {
			known = append(known, m.name)
			continue
		}
		counts, err := m.make(ctx, o)
		if errors.Is(err, fs.ErrExist) {
			return withHint(err, "add --overwrite to replace it, or name another output with -o")
		}
		if err != nil {
			return err
		}
		return printCounts(stdout, name, counts, o)
	}
	slices.Sort(known)
	return usagef("data: unknown data set %q (known: %s)", name, strings.Join(known, ", "))
}

func printCounts(w io.Writer, name string, counts count, o dataOptions) error {
	if o.json {
		object := map[string]any{"name": name, "output": o.out}
		for _, c := range counts {
			object[strings.ReplaceAll(c.what, " ", "_")] = c.n
		}
		return printJSON(w, object)
	}
	fmt.Fprintln(w, o.out)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, c := range counts {
		fmt.Fprintf(t, "%d\t %s\n", c.n, c.what)
	}
	return t.Flush()
}

func makeGodoc(ctx context.Context, o dataOptions) (count, error) {
	g, err := evaluate.MakeGodoc(ctx, o.out, o.overwrite)
	if err != nil {
		return nil, err
	}
	return count{
		{"documents", g.Documents}, {"packages", g.Packages},
		{"test packages", g.TestPackages}, {"test queries", g.TestQueries}, {"test judgments", g.TestJudgments},
		{"train queries", g.TrainQueries}, {"train judgments", g.TrainJudgments}, {"triplets", g.Triplets},
	}, nil
}
