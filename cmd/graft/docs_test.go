package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"graft/convert"
)

// Every command has a page with every flag and its default, and README shows the command.
func TestEveryFlagIsDocumented(t *testing.T) {
	readme := readPage(t, "README.md")
	pages := []string{}
	for _, c := range commands() {
		if !strings.Contains(readme, "$ graft "+c.Name) {
			t.Errorf("README.md shows no command line of graft %s", c.Name)
		}
		page := filepath.Join("docs", "commands", c.Name+".md")
		pages = append(pages, filepath.Base(page))
		rows := flagRows(readPage(t, page))
		for _, f := range append(c.Flags, configFlag()) {
			if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
				continue
			}
			name := f.Names()[0]
			row, ok := rows[name]
			if !ok {
				t.Errorf("%s: no row of flag --%s", page, name)
			}
			if value := defaultOf(f); !strings.Contains(row, value) {
				t.Errorf("%s: the row of --%s does not give its default, %s", page, name, value)
			}
			delete(rows, name)
		}
		for name := range rows {
			t.Errorf("%s: %s has no flag --%s", page, c.Name, name)
		}
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "docs", "commands", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(pages, filepath.Base(f)) {
			t.Errorf("%s is about no command", f)
		}
	}
}

// flagRow is a row of a page's table of flags.
var flagRow = regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)`.*$")

// flagRows are the rows by the flag that they are about.
func flagRows(page string) map[string]string {
	rows := map[string]string{}
	for _, m := range flagRow.FindAllStringSubmatch(page, -1) {
		rows[m[1]] = m[0]
	}
	return rows
}

// defaultOf is the default as the row must give it: `value`; "" where the flag is off or empty.
func defaultOf(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	value := strings.Trim(d.GetValue(), `"`)
	if slices.Contains([]string{"", "0", "false"}, value) {
		return ""
	}
	return "`" + value + "`"
}

func TestEveryArchitectureIsDocumented(t *testing.T) {
	readme := readPage(t, "README.md")
	for _, a := range convert.Archs() {
		for _, name := range append(slices.Clone(a.ModelTypes), a.Name) {
			if !strings.Contains(readme, "`"+name+"`") {
				t.Errorf("README.md does not name %q of architecture %s", name, a.Name)
			}
		}
	}
}

// stageRow is a row of the table of stages: the package and its files.
var stageRow = regexp.MustCompile("(?m)^\\| [^|]+ \\| ([a-z/]+) \\| ([^|]*`[^|]*) \\|.*$")

// code is what stands between backquotes.
var code = regexp.MustCompile("`([^`]+)`")

// The files that docs/architecture.md names for each stage are there.
func TestArchitectureNamesFiles(t *testing.T) {
	rows := stageRow.FindAllStringSubmatch(readPage(t, "docs/architecture.md"), -1)
	if len(rows) < 20 {
		t.Fatalf("only %d stages", len(rows))
	}
	for _, row := range rows {
		for _, span := range code.FindAllStringSubmatch(row[2], -1) {
			for _, name := range strings.Fields(span[1]) {
				found, err := filepath.Glob(filepath.Join("..", "..", row[1], name))
				if err != nil || len(found) == 0 {
					t.Errorf("docs/architecture.md: no file %q in %s (%v)", name, row[1], err)
				}
			}
		}
	}
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
