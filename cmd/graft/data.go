package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/evaluate"
)

// makers are the data sets that data can make or fetch, by name.
var makers = []struct {
	name, doc string
	make      func(ctx context.Context, o dataOptions) (count, error)
}{
	{"mteb/TASK", "a retrieval task from the Hugging Face hub, by mteb's name of it or its data set's: mteb/SciFact, mteb/nfcorpus", fetchTask},
	{"godoc", "the standard library of the Go installation: comments as queries, functions as documents", makeGodoc},
}

// count is what a data set holds, in the order in which it is told.
type count []struct {
	what string
	n    int
}

// dataOptions are what data is asked for.
type dataOptions struct {
	name      string
	out       string
	overwrite bool
	json      bool
}

func dataCommand() *cli.Command {
	o := &dataOptions{}
	usage := "NAME is one of:"
	for _, m := range makers {
		usage += fmt.Sprintf("\n  %-9s %s", m.name, m.doc)
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
		prefix, open := strings.CutSuffix(m.name, "TASK")
		if m.name != name && !(open && strings.HasPrefix(name, prefix)) {
			known = append(known, m.name)
			continue
		}
		o.name = name
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

// fetchTask fetches a task's data set into the hub's cache and writes the task's split of it.
func fetchTask(ctx context.Context, o dataOptions) (count, error) {
	t, err := taskOf(strings.TrimPrefix(o.name, "mteb/"))
	if err != nil {
		return nil, err
	}
	if fileExists(o.out) && !o.overwrite { // before anything is fetched
		return nil, fmt.Errorf("write data set: %q: %w", o.out, fs.ErrExist)
	}
	dir, err := convert.HubFromEnv(os.Getenv).FetchDataset(ctx, t.Hub, t.Revision)
	if err != nil {
		return nil, err
	}
	d, err := evaluate.OpenDataset(dir, t.Split)
	if err != nil {
		return nil, err
	}
	readme := fmt.Sprintf("# %s\n\nThe split %s of the data set %s of the Hugging Face hub, commit %s, in the BEIR layout, by graft data %s.\n"+
		"Its licence and its authors are named at https://huggingface.co/datasets/%s.\n", t.Name, t.Split, t.Hub, t.Revision, o.name, t.Hub)
	c, err := evaluate.WriteBEIR(o.out, d, t.Split, readme, o.overwrite)
	if err != nil {
		return nil, err
	}
	return count{{"documents", c.Documents}, {"queries", c.Queries}, {"judgments", c.Judgments}}, nil
}

// taskOf finds a task by its name or its data set's.
func taskOf(name string) (evaluate.Task, error) {
	for _, t := range evaluate.Tasks {
		if !strings.EqualFold(t.Name, name) && !strings.EqualFold(path.Base(t.Hub), name) {
			continue
		}
		if len(t.Parts) > 0 {
			return t, usagef("data: task %s has no data of its own, but these parts: %s", t.Name, strings.Join(t.Parts, ", "))
		}
		if t.Revision != "" {
			return t, nil
		}
	}
	return evaluate.Task{}, withHint(usagef("data: no task of mteb is called %q", name), "docs/commands/data.md lists the tasks")
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
