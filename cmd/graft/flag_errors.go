package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
)

// counts has the flags that count something refuse numbers below zero.
func counts(flags []cli.Flag) []cli.Flag {
	refuse := func(name string, negative bool) error {
		if negative {
			return usagef("--%s: want a number that is not negative", name)
		}
		return nil
	}
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.IntFlag:
			f.Action = func(_ *cli.Context, n int) error { return refuse(f.Name, n < 0) }
		case *cli.Int64Flag:
			f.Action = func(_ *cli.Context, n int64) error { return refuse(f.Name, n < 0) }
		}
	}
	return flags
}

// badValue is how package flag says that a value does not parse.
var badValue = regexp.MustCompile(`(?s)^invalid (boolean )?value (".*") for (?:flag )?-([\w-]+): (.*)$`)

// flagError says it as everything else is said: the command, the flag, the value and what is wrong with it.
func flagError(c *cli.Context, err error) error {
	parts := badValue.FindStringSubmatch(err.Error())
	if parts == nil {
		return usageError{err}
	}
	boolean, value, name, cause := parts[1], parts[2], parts[3], parts[4]
	switch {
	case boolean != "":
		cause = value + " is neither true nor false"
	case cause == "parse error":
		cause = value + " is not a number"
	case !strings.HasPrefix(cause, value):
		cause = fmt.Sprintf("%s: %s", value, cause)
	}
	if c.Command != nil && c.Command.Name != "" {
		return usagef("%s: --%s: %s", c.Command.Name, name, cause)
	}
	return usagef("--%s: %s", name, cause)
}
