// Command graft trains text-embedding models, exports them as ONNX graphs,
// makes them smaller by surgery on the graph and evaluates every variant.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// version is set at link time (-X main.version=…).
var version = "dev"

// commands are all of graft's, in the order in which help lists them.
func commands() []*cli.Command {
	return []*cli.Command{
		trainCommand(),
		exportCommand(),
		pruneCommand(),
		quantizeCommand(),
		evalCommand(),
		embedCommand(),
		inspectCommand(),
		verifyCommand(),
		benchCommand(),
		reportCommand(),
		mineCommand(),
		dataCommand(),
		doctorCommand(),
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := &cli.App{
		Name:            "graft",
		Usage:           "train, export, shrink and evaluate text-embedding models",
		Version:         version,
		Commands:        commands(),
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: true,
		ExitErrHandler:  func(*cli.Context, error) {}, // printError decides
		OnUsageError:    func(c *cli.Context, err error, _ bool) error { return flagError(c, err) },
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return withHint(usagef("unknown command %q", c.Args().First()), "graft --help lists the commands")
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = app.OnUsageError
		c.Flags = append(c.Flags, configFlag())
	}
	args, err := canonicalArgs(app, args, stderr)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	if err != nil {
		return printError(ctx, stderr, err)
	}
	return 0
}

// configFlag is expanded by canonicalArgs before cli sees the command line.
func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Usage: "YAML `FILE` that may hold any flag of this command; the command line wins"}
}

// modelArg is the one MODEL that most commands take, as an argument or as the reference's
// --model_name_or_path or --base_model_name_or_path.
func modelArg(c *cli.Context, flag string) (string, error) {
	switch {
	case c.NArg() > 1:
		return "", usagef("%s takes one MODEL, got %q", c.Command.Name, c.Args().Slice())
	case c.NArg() == 1:
		return c.Args().First(), nil
	case flag != "":
		return flag, nil
	}
	return "", withHint(usagef("%s needs a MODEL", c.Command.Name), fmt.Sprintf("graft %s --help", c.Command.Name))
}
