package evaluate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// godocNegatives is how many hard negatives a training row has: with its positive, a group
// of eight.
const godocNegatives = 7

// Godoc says what MakeGodoc wrote.
type Godoc struct {
	GoVersion                               string
	Documents, Packages                     int
	TestQueries, TrainQueries               int
	TestPackages                            int
	TestJudgments, TrainJudgments, Triplets int
}

// godocQuery is a sentence and the functions that it describes.
type godocQuery struct {
	ID, Text string
	Relevant []int // into the functions
	Test     bool
}

// MakeGodoc makes a retrieval task out of the Go installation's own sources, in the BEIR
// layout with training triplets: find the function that a sentence of documentation
// describes. The folder appears as a whole or not at all; an existing one is
// replaced only if overwrite is set.
func MakeGodoc(ctx context.Context, dir string, overwrite bool) (*Godoc, error) {
	if _, err := os.Stat(dir); err == nil && !overwrite {
		return nil, fmt.Errorf("make godoc: %q: %w", dir, fs.ErrExist)
	}
	goroot, err := GoRoot(ctx)
	if err != nil {
		return nil, fmt.Errorf("make godoc: %w", err)
	}
	version, err := os.ReadFile(filepath.Join(goroot, "VERSION"))
	if err != nil {
		return nil, fmt.Errorf("make godoc: %w", err)
	}
	functions, err := readGoFunctions(goroot)
	if err != nil {
		return nil, fmt.Errorf("make godoc: %w", err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	g := newGodocSet(first, functions)
	if err := g.write(dir); err != nil {
		return nil, fmt.Errorf("make godoc: %w", err)
	}
	return &g.counts, nil
}

// godocSet is the task before it is written.
type godocSet struct {
	functions []goFunction
	queries   []godocQuery
	packages  map[string][]int // functions of each training package
	training  []int            // functions of all training packages
	counts    Godoc
}

// newGodocSet merges equal sentences into one query and divides the queries: one that
// describes any function of a test package is a test query, so no training row holds
// the sentence of one.
func newGodocSet(version string, functions []goFunction) *godocSet {
	g := &godocSet{functions: functions, packages: map[string][]int{}, counts: Godoc{GoVersion: version, Documents: len(functions)}}
	at := map[string]int{}
	for i, f := range functions {
		if !inTest(f.Package) {
			g.packages[f.Package] = append(g.packages[f.Package], i)
			g.training = append(g.training, i)
		}
		if f.Query == "" {
			continue
		}
		key := strings.ToLower(f.Query)
		q, ok := at[key]
		if !ok {
			q = len(g.queries)
			at[key] = q
			g.queries = append(g.queries, godocQuery{ID: "q-" + f.id(), Text: f.Query})
		}
		g.queries[q].Relevant = append(g.queries[q].Relevant, i)
		g.queries[q].Test = g.queries[q].Test || inTest(f.Package)
	}
	g.count()
	return g
}

func (g *godocSet) count() {
	all, test := map[string]bool{}, map[string]bool{}
	for _, f := range g.functions {
		all[f.Package] = true
		if inTest(f.Package) {
			test[f.Package] = true
		}
	}
	g.counts.Packages, g.counts.TestPackages = len(all), len(test)
	for _, q := range g.queries {
		if q.Test {
			g.counts.TestQueries++
			g.counts.TestJudgments += len(q.Relevant)
		} else {
			g.counts.TrainQueries++
			g.counts.TrainJudgments += len(q.Relevant)
		}
	}
	g.counts.Triplets = g.counts.TrainQueries
}

func (f goFunction) id() string { return f.Package + "." + f.Name }

func (f goFunction) document() Document {
	return Document{ID: f.id(), Title: f.Package, Text: f.Source}
}

// write writes the files.
func (g *godocSet) write(dir string) error {
	return writeFolder(dir, map[string]func(io.Writer) error{
		"corpus.jsonl":    g.writeCorpus,
		"queries.jsonl":   g.writeQueries,
		"qrels/test.tsv":  func(w io.Writer) error { return g.writeQrels(w, true) },
		"qrels/train.tsv": func(w io.Writer) error { return g.writeQrels(w, false) },
		"train.jsonl":     g.writeTriplets,
		"README.md":       g.writeReadme,
	})
}

// writeRows writes one JSON object a line, with <, > and & as they are.
func writeRows[T any](w io.Writer, rows func(yield func(T) bool)) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for row := range rows {
		if err := e.Encode(row); err != nil {
			return err
		}
	}
	return nil
}

func (g *godocSet) writeCorpus(w io.Writer) error {
	return writeRows(w, func(yield func(beirRow) bool) {
		for _, f := range g.functions {
			if !yield(beirRow{f.id(), &f.Package, f.Source}) {
				return
			}
		}
	})
}

func (g *godocSet) writeQueries(w io.Writer) error {
	return writeRows(w, func(yield func(beirRow) bool) {
		for _, q := range g.queries {
			if !yield(beirRow{ID: q.ID, Text: q.Text}) {
				return
			}
		}
	})
}

func (g *godocSet) writeQrels(w io.Writer, test bool) error {
	p := &errorWriter{w: w}
	p.printf("query-id\tcorpus-id\tscore\n")
	for _, q := range g.queries {
		if q.Test != test {
			continue
		}
		for _, i := range q.Relevant {
			p.printf("%s\t%s\t1\n", q.ID, g.functions[i].id())
		}
	}
	return p.err
}

func (g *godocSet) writeTriplets(w io.Writer) error {
	return writeRows(w, func(yield func(TrainingRow) bool) {
		for _, q := range g.queries {
			if q.Test {
				continue
			}
			row := TrainingRow{Query: q.Text}
			for _, i := range q.Relevant {
				row.Positives = append(row.Positives, g.functions[i].document().EncoderText())
			}
			for _, i := range g.negatives(q) {
				row.Negatives = append(row.Negatives, g.functions[i].document().EncoderText())
			}
			if !yield(row) {
				return
			}
		}
	})
}

// negatives chooses functions of the query's package by a hash, and where it has too few,
// functions of other training packages.
func (g *godocSet) negatives(q godocQuery) []int {
	pkg := g.functions[q.Relevant[0]].Package
	var negatives []int
	for _, i := range g.packages[pkg] {
		if !slices.Contains(q.Relevant, i) {
			negatives = append(negatives, i)
		}
	}
	slices.SortFunc(negatives, func(a, b int) int {
		return cmp.Compare(stableHash(q.ID, g.functions[a].id()), stableHash(q.ID, g.functions[b].id()))
	})
	negatives = negatives[:min(godocNegatives, len(negatives))]
	for try := 0; len(negatives) < godocNegatives && try < 100; try++ {
		i := g.training[stableHash(q.ID, fmt.Sprint(try))%uint64(len(g.training))]
		if !slices.Contains(negatives, i) && !slices.Contains(q.Relevant, i) {
			negatives = append(negatives, i)
		}
	}
	return negatives
}

func (g *godocSet) writeReadme(w io.Writer) error {
	c := g.counts
	_, err := fmt.Fprintf(w, `# godoc: find the Go function that a sentence describes

Made from the sources of the standard library of %s by graft data godoc; the same for everyone on that version.

- Documents: every exported function and method with a body, as built on linux/amd64; title: import path; text: signature and body without comments. Internal and vendored packages, commands and tests are left out, as are %s.
- Queries: the first sentence of a function's comment, without its leading name. Functions with the same sentence are all relevant to it.
- Splits: packages are divided by a hash of their import path; a sentence that describes a function of a test package is a test query. All documents are searched in both splits.
- train.jsonl: a row {"query", "pos", "neg"} per training query, with %d negatives from the same package (others where it has too few).

| | test | train |
|---|--:|--:|
| packages | %d | %d |
| queries | %d | %d |
| judgments | %d | %d |
| training rows | | %d |

Documents: %d. Layout: BEIR. Licence of the sources: BSD-3-Clause, The Go Authors.
`, c.GoVersion, strings.Join(leftOut, " and "), godocNegatives, c.TestPackages, c.Packages-c.TestPackages,
		c.TestQueries, c.TrainQueries, c.TestJudgments, c.TrainJudgments, c.Triplets, c.Documents)
	return err
}
