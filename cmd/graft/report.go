package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"graft/report"
)

// reportOptions are what report is asked for.
type reportOptions struct {
	out, png  string
	overwrite bool
	json      bool
}

func reportCommand() *cli.Command {
	o := &reportOptions{}
	return &cli.Command{
		Name: "report", Usage: "one page of models, results, benchmarks and training logs", ArgsUsage: "DIR…",
		Description: "Each DIR is a model directory, a folder of results, a benchmark's --json, or a folder in which such lie.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Destination: &o.out, Usage: "HTML `FILE` to write"},
			&cli.StringFlag{Name: "png", Destination: &o.png, Usage: "write each plot as a PNG file into `DIR` too"},
			&cli.BoolFlag{Name: "overwrite", Destination: &o.overwrite, Usage: "replace files that are there"},
			jsonFlag(&o.json),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return withHint(usagef("report needs at least one DIR"), "graft report --help")
			}
			if o.out == "" && o.png == "" && !o.json {
				return withHint(usagef("report is not told what to write"), "add -o FILE.html, --png DIR or --json")
			}
			return writeReport(c.Args().Slice(), *o, c.App.Writer, c.App.ErrWriter)
		},
	}
}

func writeReport(paths []string, o reportOptions, stdout, stderr io.Writer) error {
	if err := o.mayWrite(o.out); err != nil {
		return err
	}
	found := &collection{warn: func(format string, args ...any) { fmt.Fprintf(stderr, "graft: warning: "+format+"\n", args...) }}
	for _, path := range paths {
		if err := found.add(path); err != nil {
			return err
		}
	}
	page, err := found.page()
	if err != nil {
		return err
	}
	page.Title, page.Tool = reportTitle(paths), "graft "+version
	figures, err := page.Figures()
	if err != nil {
		return err
	}
	var files []string
	if o.out != "" {
		if err := writeBeside(o.out, page.Write); err != nil {
			return err
		}
		files = append(files, o.out)
	}
	if o.png != "" {
		names, err := o.writePlots(figures)
		if err != nil {
			return err
		}
		files = append(files, names...)
	}
	if o.json {
		return printJSON(stdout, page)
	}
	fmt.Fprintf(stdout, "models %d, scores %d, rows of benchmarks %d, training logs %d, plots %d\n",
		len(page.Models), len(page.Scores), len(page.Speeds), len(page.Training), len(figures))
	fmt.Fprintln(stdout, strings.Join(files, "\n"))
	return nil
}

// reportTitle names the page after what it is about.
func reportTitle(paths []string) string {
	var names []string
	for _, p := range paths {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		names = append(names, filepath.Base(p))
	}
	return "graft report: " + strings.Join(names, ", ")
}

// mayWrite refuses a file that is there and may not be replaced.
func (o reportOptions) mayWrite(path string) error {
	if path == "" || o.overwrite {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return overwriteHint(fmt.Errorf("write report %q: %w", path, err))
	}
	return nil
}

// writePlots writes a PNG of each figure.
func (o reportOptions) writePlots(figures []report.Figure) ([]string, error) {
	var names []string
	for _, f := range figures {
		names = append(names, filepath.Join(o.png, f.Name+".png"))
	}
	for _, name := range names { // before the first is written
		if err := o.mayWrite(name); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(o.png, 0o777); err != nil {
		return nil, fmt.Errorf("write plots: %w", err)
	}
	for i, f := range figures {
		if err := writeBeside(names[i], f.PNG); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// writeBeside writes a file under a temporary name beside its place and moves it there.
func writeBeside(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("write %q: %w", path, err)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
