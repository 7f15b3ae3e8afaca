package main

import (
	"context"
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
	kind      string // taskData or rowData
	make      func(ctx context.Context, o dataOptions) (count, error)
}{
	{"godoc", "the standard library of the Go installation: comments as queries, functions as documents", taskData, makeGodoc},
	{"mteb/TASK", "a retrieval task from the Hugging Face hub, by mteb's name of it or its data set's: mteb/SciFact, mteb/nfcorpus", taskData, fetchTask},
	{"t2ranking", "T2Ranking's split dev: 24,832 queries against 2.3 million Chinese passages (3.7 GB)", taskData, fetchT2Ranking},
	{"msmarco-title", "MS MARCO's 6,980 queries of dev against 8.8 million passages with titles", taskData, fetchMSMARCOTitle},
	{"dureader", "DuReader-Retrieval's training rows, Chinese", rowData, fetchDuReader},
	{"mmarco", "mMARCO's training rows, Chinese: 39.8 million triples; see --rows", rowData, fetchMMARCO},
}

// The kinds of data sets: a task in the BEIR layout, training rows in train.jsonl.
const (
	taskData = "task"
	rowData  = "rows"
)

// count is what a data set holds, in the order in which it is told.
type count []struct {
	what string
	n    int
}

// dataOptions are what data is asked for.
type dataOptions struct {
	name      string
	out       string
	rows      int // most training rows; 0: all
	overwrite bool
	json      bool
	log       io.Writer // where progress is shown
}

func dataCommand() *cli.Command {
	o := &dataOptions{}
	usage := "NAME is one of:"
	for _, m := range makers {
		usage += fmt.Sprintf("\n  %-13s %s", m.name, m.doc)
	}
	return &cli.Command{
		Name: "data", Usage: "make or fetch a data set: a task in the BEIR layout, or training rows", ArgsUsage: "NAME", Description: usage,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o", "output-dir"}, Destination: &o.out, Usage: "`DIR` to make"},
			&cli.IntFlag{Name: "rows", Destination: &o.rows, Usage: "take the first `N` rows of dureader or mmarco; 0: all"},
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
			if o.rows < 0 {
				return usagef("data: --rows %d, want 0 or more", o.rows)
			}
			return data(c.Context, c.Args().First(), *o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func data(ctx context.Context, name string, o dataOptions, stdout, log io.Writer) error {
	var known []string
	for _, m := range makers {
		prefix, open := strings.CutSuffix(m.name, "TASK")
		if m.name != name && !(open && strings.HasPrefix(name, prefix)) {
			known = append(known, m.name)
			continue
		}
		o.name, o.log = name, log
		if o.rows != 0 && m.kind != rowData {
			return usagef("data: --rows is for training rows, %s is a task", name)
		}
		if fileExists(o.out) && !o.overwrite { // before anything is fetched
			return overwriteHint(fmt.Errorf("write data set: %q: %w", o.out, fs.ErrExist))
		}
		counts, err := m.make(ctx, o)
		if err != nil {
			return overwriteHint(err)
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
