package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"graft/evaluate"
)

// makers are the data sets that data can make or fetch, by name.
var makers = []struct {
	name, doc string
	make      func(ctx context.Context, dir string, o dataOptions, log func(string, ...any)) error
}{
	{"godoc", "the standard library of the Go installation: comments as queries, functions as documents", makeGodoc},
}

// dataOptions are what data is asked for.
type dataOptions struct {
	out       string
	overwrite bool
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
			&cli.StringFlag{Name: "output", Aliases: []string{"o", "output-dir"}, Required: true, Destination: &o.out, Usage: "`DIR` to make"},
			&cli.BoolFlag{Name: "overwrite", Destination: &o.overwrite, Usage: "replace DIR"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("data takes one NAME, got %d", c.NArg())
			}
			return data(c.Context, c.Args().First(), *o, c.App.ErrWriter)
		},
	}
}

func data(ctx context.Context, name string, o dataOptions, stderr io.Writer) error {
	var known []string
	for _, m := range makers {
		if m.name == name {
			return m.make(ctx, o.out, o, func(format string, args ...any) { fmt.Fprintf(stderr, "graft: "+format+"\n", args...) })
		}
		known = append(known, m.name)
	}
	slices.Sort(known)
	return usagef("data: unknown data set %q (known: %q)", name, known)
}

func makeGodoc(ctx context.Context, dir string, o dataOptions, log func(string, ...any)) error {
	counts, err := evaluate.MakeGodoc(ctx, dir, o.overwrite)
	if err != nil {
		return err
	}
	log("%s: %v", dir, counts)
	return nil
}
