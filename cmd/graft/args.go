package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// ignored are the switches of the reference that have no meaning here: they are accepted, and
// the reason is printed once, by commands that have no such flag.
var ignored = map[string]struct {
	takesValue bool
	reason     string
}{
	"dtype":          {true, "--precision says what is computed in"},
	"model-flag":     {true, "--preset says what the model is"},
	"do-train":       {false, "graft train always trains"},
	"kv-cache-reuse": {true, "an encoder pass keeps no key-value cache"},
	"layers-path":    {true, "layers are found from the graph"},
	"model-type":     {true, "the checkpoint's own config says what it is"},

	"search-batch-size":     {true, "the search takes queries and passages in blocks of its own"},
	"use-gpu-for-searching": {false, "the exact search is a small part of the time beside encoding, which --provider places"},
}

// canonicalArgs turns a command line as people write it into one that cli parses: flags may
// follow arguments, underscores stand for hyphens, switches may be followed by True or False,
// and the entries of --config are put in for the flags that the line does not set.
func canonicalArgs(app *cli.App, args []string, stderr io.Writer) ([]string, error) {
	at := slices.IndexFunc(args[min(1, len(args)):], func(a string) bool { return !strings.HasPrefix(a, "-") })
	if at < 0 {
		return args, nil
	}
	at++
	cmd := app.Command(args[at])
	if cmd == nil {
		return args, nil
	}
	line := &commandLine{cmd: cmd, set: map[string]bool{}, stderr: stderr}
	if err := line.parse(args[at+1:]); err != nil {
		return nil, err
	}
	if line.config != "" {
		if err := line.readConfig(); err != nil {
			return nil, err
		}
	}
	if line.set["help"] {
		return append(slices.Clone(args[:at+1]), "--help"), nil
	}
	out := append(slices.Clone(args[:at+1]), line.flags...)
	if len(line.args) > 0 {
		out = append(append(out, "--"), line.args...)
	}
	return out, nil
}

type commandLine struct {
	cmd    *cli.Command
	flags  []string // --name=value or --name, canonical
	args   []string
	set    map[string]bool
	config string
	stderr io.Writer
}

func (l *commandLine) parse(args []string) error {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			l.args = append(l.args, args[i+1:]...)
			break
		}
		if a == "-" || !strings.HasPrefix(a, "-") {
			l.args = append(l.args, a)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		canonical, takesValue, err := l.find(name)
		if err != nil {
			return err
		}
		if !hasValue && i+1 < len(args) && (takesValue || isBool(args[i+1])) {
			i++
			value, hasValue = args[i], true
		}
		if takesValue && !hasValue {
			return usagef("%s: flag --%s needs a value", l.cmd.Name, canonical)
		}
		for l.isList(canonical) && i+1 < len(args) && isNumber(args[i+1]) { // as argparse's nargs="+" is written
			i++
			value += "," + args[i]
		}
		l.add(canonical, value, hasValue)
	}
	return nil
}

// isBool reports whether s, after a switch, is its value (Python writes True and False).
func isBool(s string) bool {
	return slices.Contains([]string{"true", "false", "True", "False"}, s)
}

// isList reports whether a flag takes a list of numbers.
func (l *commandLine) isList(name string) bool {
	return slices.ContainsFunc(l.cmd.Flags, func(f cli.Flag) bool {
		generic, ok := f.(*cli.GenericFlag)
		if !ok || generic.Name != name {
			return false
		}
		_, ok = generic.Value.(interface{ list() })
		return ok
	})
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

func (l *commandLine) add(name, value string, hasValue bool) {
	switch {
	case name == "config":
		l.config = value
		return
	case ignored[name].reason != "" && !l.has(name):
		if !l.set[name] {
			fmt.Fprintf(l.stderr, "graft: --%s has no effect: %s\n", name, ignored[name].reason)
		}
	case hasValue:
		l.flags = append(l.flags, "--"+name+"="+value)
	default:
		l.flags = append(l.flags, "--"+name)
	}
	l.set[name] = true
}

// has reports whether the command has a flag of this canonical name: what one command ignores may mean something to another.
func (l *commandLine) has(name string) bool {
	return slices.ContainsFunc(l.cmd.Flags, func(f cli.Flag) bool { return f.Names()[0] == name })
}

// find returns the canonical name of a flag, and whether it takes a value.
func (l *commandLine) find(name string) (string, bool, error) {
	kebab := strings.ReplaceAll(name, "_", "-")
	if kebab == "help" || kebab == "h" {
		return "help", false, nil
	}
	for _, f := range l.cmd.Flags {
		if slices.Contains(f.Names(), name) || slices.Contains(f.Names(), kebab) {
			doc, ok := f.(cli.DocGenerationFlag)
			return f.Names()[0], ok && doc.TakesValue(), nil
		}
	}
	if i, ok := ignored[kebab]; ok {
		return kebab, i.takesValue, nil
	}
	err := usagef("%s has no flag --%s", l.cmd.Name, name)
	if near := l.nearest(kebab); near != "" {
		return "", false, withHint(err, fmt.Sprintf("did you mean --%s?", near))
	}
	return "", false, withHint(err, fmt.Sprintf("graft %s --help lists them", l.cmd.Name))
}

// nearest is the flag whose name is at most two edits away.
func (l *commandLine) nearest(name string) string {
	best, distance := "", 3
	for _, f := range l.cmd.Flags {
		for _, n := range f.Names() {
			if d := edits(name, n); d < distance && len(n) > 2 {
				best, distance = f.Names()[0], d
			}
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// readConfig adds the entries of the YAML file that the line does not set itself.
func (l *commandLine) readConfig() error {
	data, err := os.ReadFile(l.config)
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	var entries map[string]any
	var other *yaml.TypeError
	if err := yaml.Unmarshal(data, &entries); errors.As(err, &other) {
		return usagef("read config %q: want flags and their values, as in provider: cpu", l.config)
	} else if err != nil {
		return fmt.Errorf("read config %q: %w", l.config, err)
	}
	keys := make([]string, 0, len(entries))
	for k := range entries {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		name, _, err := l.find(k)
		if err != nil {
			return fmt.Errorf("read config %q: key %q: %w", l.config, k, err)
		}
		if l.set[name] {
			continue
		}
		values, ok := entries[k].([]any)
		if !ok {
			values = []any{entries[k]}
		}
		parts := make([]string, len(values))
		for i, v := range values {
			switch v.(type) {
			case map[string]any, []any, nil:
				return usagef("read config %q: key %q: want a value or a list of values", l.config, k)
			}
			parts[i] = fmt.Sprint(v)
		}
		l.add(name, strings.Join(parts, ","), true)
	}
	return nil
}

// listed is the names of what a table holds, as a flag's usage lists them.
func listed[T any](table []T, name func(T) string) string {
	var names []string
	for _, entry := range table {
		names = append(names, name(entry))
	}
	return strings.Join(names, ", ")
}

// checkName refuses a flag's value that is none of the known names, which are listed as listed does; "" is the default.
func checkName(command, flag, name, known string) error {
	if name == "" || slices.Contains(strings.Split(known, ", "), name) {
		return nil
	}
	return usagef("%s: unknown --%s %q (known: %s)", command, flag, name, known)
}
