package evaluate

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"graft/lines"
)

// hub is a repository of the Hugging Face hub as it lies on disk, in JSON Lines or
// Parquet: mteb's layout (configurations corpus, queries, judgments in "default" or
// "qrels", optional instruction) and C-MTEB's older one (splits corpus and queries in one
// repository, judgments in a sibling folder <name>-qrels).
var hub = Layout{
	Name: "hub",
	Doc:  "Hugging Face data set (corpus, queries and qrels as .jsonl or .parquet)",
	Detect: func(dir string) bool {
		r := openRepository(dir)
		return r.has("corpus") && (r.has("queries") || r.has("query"))
	},
	Open: openHub,
}

func openHub(dir, split string) (*Dataset, error) {
	r := openRepository(dir)
	corpus := r.files("corpus", split, "corpus")
	queries := r.files("query", split, "queries")
	if len(queries) == 0 {
		queries = r.files("queries", split, "queries")
	}
	qrels := r.judgments(split)
	for _, part := range []struct {
		name  string
		files []string
	}{{"corpus", corpus}, {"queries", queries}, {"qrels for split " + split, qrels}} {
		if len(part.files) == 0 {
			return nil, fmt.Errorf("%q has no %s in .jsonl or .parquet", dir, part.name)
		}
	}
	j, err := readHubJudgments(qrels)
	if err != nil {
		return nil, err
	}
	instructions := r.files("instruction", split, "instruction")
	d := &Dataset{
		Qrels:       j.qrels,
		Documents:   documents(readRecords(corpus)),
		CorpusFiles: corpus,
		OtherFiles:  slices.Concat(queries, qrels, instructions),
		Warnings:    j.warnings(),
	}
	if d.Queries, err = selectQueries(readRecords(queries), j); err != nil {
		return nil, err
	}
	return d, addInstructions(d.Queries, instructions)
}

// readHubJudgments reads query-id, corpus-id, score, or C-MTEB's qid, pid, score.
func readHubJudgments(files []string) (*judgments, error) {
	j := newJudgments(files[0])
	for r, err := range readRecords(files) {
		if err != nil {
			return nil, err
		}
		query, document := r.QueryID, r.CorpusID
		if !query.set {
			query, document = r.QID, r.PID
		}
		if err := wants(query, document, r.Score); err != nil {
			return nil, lines.At(r.file, r.line, err)
		}
		if !query.set || !document.set || !r.Score.set {
			return nil, lines.At(r.file, r.line, fmt.Errorf("no query-id, corpus-id and score (nor qid, pid, score)"))
		}
		if err := j.add(r.file, r.line, query.value, document.value, r.Score.value); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// addInstructions appends each query's instruction, as mteb does.
func addInstructions(queries []Query, files []string) error {
	if len(files) == 0 {
		return nil
	}
	byQuery := map[string]string{}
	for r, err := range readRecords(files) {
		if err != nil {
			return err
		}
		byQuery[r.QueryID.value] = r.Instruction.value
	}
	for i, q := range queries {
		if text := byQuery[q.ID]; text != "" {
			queries[i].Text += " " + text
		}
	}
	return nil
}

// readRecords reads files of either kind.
func readRecords(files []string) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for _, path := range files {
			rows := readJSONLines(path)
			if strings.HasSuffix(path, ".parquet") {
				rows = readParquet(path)
			}
			for r, err := range rows {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// repository resolves configurations and splits to files: by the README's front matter
// where it lists them, by the hub's naming conventions otherwise.
type repository struct {
	dir     string
	configs map[string]map[string][]string // configuration, split, file patterns
}

func openRepository(dir string) *repository {
	r := &repository{dir: dir, configs: map[string]map[string][]string{}}
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		return r
	}
	_, rest, ok := bytes.Cut(readme, []byte("---\n"))
	if !ok {
		return r
	}
	front, _, _ := bytes.Cut(rest, []byte("\n---"))
	var meta struct {
		Configs []struct {
			Name  string `yaml:"config_name"`
			Files []struct {
				Split string    `yaml:"split"`
				Path  yaml.Node `yaml:"path"`
			} `yaml:"data_files"`
		} `yaml:"configs"`
	}
	if yaml.Unmarshal(front, &meta) != nil { // a README in another form is no error
		return r
	}
	for _, c := range meta.Configs {
		r.configs[c.Name] = map[string][]string{}
		for _, f := range c.Files {
			r.configs[c.Name][f.Split] = patterns(f.Path)
		}
	}
	return r
}

// patterns reads a path or a list of paths.
func patterns(n yaml.Node) []string {
	var many []string
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	if n.Decode(&many) != nil {
		return nil
	}
	return many
}

// conventions are where the hub's tools put the files of a configuration, first match
// wins: {config} and {split} are replaced. The older C-MTEB layout names its splits
// like the newer one's configurations.
var conventions = []string{
	"{config}/{split}-*.parquet", "{config}/{split}.parquet", "{config}/{split}.jsonl", "{config}/{split}.jsonl.gz",
	"{config}.jsonl", "{config}.jsonl.gz", "{config}.parquet", "data/{config}-*.parquet", "data/{config}.parquet", "data/{config}.jsonl",
	"{config}/{config}-*.parquet",
}

// files returns the files of a configuration, for the first of the splits that it has or
// for its only split; none where it has neither.
func (r *repository) files(config string, splits ...string) []string {
	if bySplit, ok := r.configs[config]; ok {
		for _, split := range splits {
			if found := r.glob(bySplit[split]); len(found) > 0 {
				return found
			}
		}
		if len(bySplit) == 1 {
			for _, only := range bySplit {
				return r.glob(only)
			}
		}
		return nil
	}
	for _, split := range splits {
		for _, c := range conventions {
			pattern := strings.NewReplacer("{config}", config, "{split}", split).Replace(c)
			if found := r.glob([]string{pattern}); len(found) > 0 {
				return found
			}
		}
	}
	return nil
}

// has reports whether there are files of a configuration, of whichever split.
func (r *repository) has(config string) bool {
	bySplit, ok := r.configs[config]
	if !ok {
		return len(r.files(config, config, "*")) > 0
	}
	for _, patterns := range bySplit {
		if len(r.glob(patterns)) > 0 {
			return true
		}
	}
	return false
}

// judgments finds the judgment files of a split.
func (r *repository) judgments(split string) []string {
	for _, config := range []string{"default", "qrels"} {
		if bySplit, ok := r.configs[config]; ok {
			return r.glob(bySplit[split])
		}
	}
	name := filepath.Base(r.dir)
	for _, pattern := range []string{
		"qrels/{split}.jsonl", "qrels/{split}.jsonl.gz", "qrels/{split}-*.parquet", "qrels/{split}.parquet",
		"default/{split}-*.parquet", "default/{split}.parquet", "default/{split}.jsonl",
		"data/{split}-*.parquet", "data/{split}.parquet", "data/{split}.jsonl",
		"../" + name + "-qrels/data/{split}-*.parquet", "../" + name + "-qrels/{split}.parquet", "../" + name + "-qrels/{split}.jsonl",
	} {
		if found := r.glob([]string{strings.ReplaceAll(pattern, "{split}", split)}); len(found) > 0 {
			return found
		}
	}
	return nil
}

// glob returns the files that match, sorted, within the folder that holds the repository.
func (r *repository) glob(patterns []string) []string {
	var files []string
	for _, p := range patterns {
		if filepath.IsAbs(p) || strings.HasPrefix(filepath.Clean(p), filepath.Join("..", "..")) {
			continue
		}
		found, err := filepath.Glob(filepath.Join(r.dir, filepath.FromSlash(p)))
		if err != nil {
			continue
		}
		for _, f := range found {
			if s, err := os.Stat(f); err == nil && !s.IsDir() {
				files = append(files, f)
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
