package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"graft/runtime"
	"graft/train"
)

// Everything that graft says of an error: one line "graft: …", lower case, no full stop, then
// "hint:" lines that say what to type instead. The libraries know nothing of flags; what to type is
// added here.

// Exit codes, as documented in README.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitCheck       = 3
	exitInterrupted = 130
)

// usageError is a command line that cannot be carried out.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// checkError is a check that ran and failed: verify, eval --min, a quality gate.
type checkError struct{ err error }

func (e checkError) Error() string { return e.err.Error() }
func (e checkError) Unwrap() error { return e.err }

func checkf(format string, args ...any) error { return checkError{fmt.Errorf(format, args...)} }

// hintError carries what to type instead.
type hintError struct {
	err  error
	hint string
}

func (e hintError) Error() string { return e.err.Error() }
func (e hintError) Unwrap() error { return e.err }

func withHint(err error, hint string) error { return hintError{err, hint} }

// printError prints err and its hints and returns the exit code.
func printError(ctx context.Context, w io.Writer, err error) int {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		text, more := strings.CutSuffix(err.Error(), ": "+context.Canceled.Error())
		if !more || !strings.HasPrefix(text, "interrupted") {
			text = "interrupted"
		}
		fmt.Fprintf(w, "graft: %s\n", text)
		return exitInterrupted
	}
	fmt.Fprintf(w, "graft: %s\n", strings.TrimSpace(err.Error()))
	for e := err; e != nil; e = errors.Unwrap(e) {
		if h, ok := e.(hintError); ok {
			fmt.Fprintf(w, "hint: %s\n", h.hint)
		}
	}
	for _, h := range hints {
		if h.is(err) {
			fmt.Fprintf(w, "hint: %s\n", h.text)
		}
	}
	var usage usageError
	var option *runtime.OptionError
	var flag *train.FlagError
	var check checkError
	switch {
	case errors.As(err, &usage), errors.As(err, &option), errors.As(err, &flag):
		return exitUsage
	case errors.As(err, &check):
		return exitCheck
	}
	return exitFailed
}
