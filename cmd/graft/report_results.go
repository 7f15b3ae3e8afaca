package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/evaluate"
	"graft/report"
)

// foundScore is a result, and what lies beside it.
type foundScore struct {
	report.Score
	hash     string // of the model's weights, "" where nothing says it
	perQuery string // file of the values per query, "" where there is none
	file     string
}

// addResult collects a result file of mteb's form. What graft wrote beside it says which model was run, and how.
func (c *collection) addResult(path string) error {
	result, err := evaluate.ReadTaskResult(path)
	if err != nil {
		return err
	}
	settings, runs, err := settingsOf(path, result.TaskName)
	if err != nil {
		return err
	}
	for _, split := range result.Splits {
		for _, e := range split.Entries {
			s := &foundScore{file: path, hash: settings.Encoder.ModelHash, perQuery: runs}
			s.Model, s.Provider, s.Precision = settings.Encoder.Model, settings.Encoder.Provider, settings.Encoder.Precision
			if s.Model == "" {
				s.Model = folderModel(path)
			}
			s.Task = result.TaskName
			if split.Split != "test" {
				s.Task += " " + split.Split
			}
			if e.Subset != "default" && e.Subset != "" {
				s.Task, s.perQuery = s.Task+" "+e.Subset, ""
			}
			if settings.MaxDocuments > 0 {
				s.Task += fmt.Sprintf(", first %d documents", settings.MaxDocuments)
			}
			s.Metric, s.Value = evaluate.MainScore, e.MainScore
			for _, name := range shownScores {
				if v, ok := e.Score(name); ok && name != s.Metric {
					s.Others = append(s.Others, report.Other{Metric: name, Value: v})
				}
			}
			c.scores = append(c.scores, s)
		}
	}
	return nil
}

// settingsOf reads what graft wrote of a run beside its result, in runs/ instead of results/; nothing where it did not.
func settingsOf(path, task string) (s evaluate.Settings, perQuery string, err error) {
	parts := strings.Split(filepath.ToSlash(filepath.Dir(path)), "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] == "results" { // the last, as the output folder may have that name too
			parts[i] = "runs"
			break
		}
	}
	base := filepath.Join(filepath.FromSlash(strings.Join(parts, "/")), task)
	data, err := os.ReadFile(base + ".graft_settings.json")
	if errors.Is(err, fs.ErrNotExist) {
		return s, "", nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return s, "", fmt.Errorf("read %q: %w", base+".graft_settings.json", err)
	}
	if fileExists(base + ".per_query.tsv") {
		perQuery = base + ".per_query.tsv"
	}
	return s, perQuery, nil
}

// folderModel is the model's name by mteb's folders, results/<model>/<revision>/Task.json.
func folderModel(path string) string {
	return strings.ReplaceAll(filepath.Base(filepath.Dir(filepath.Dir(path))), "__", "/")
}

// compared are the scores in the order of tasks and models, each compared with the first of its task.
func (c *collection) compared() ([]report.Score, error) {
	var tasks []string
	list := slices.DeleteFunc(c.scores, func(s *foundScore) bool { return !c.nameScore(s) })
	for _, s := range list {
		if !slices.Contains(tasks, s.Task) {
			tasks = append(tasks, s.Task)
		}
	}
	slices.SortStableFunc(list, func(a, b *foundScore) int {
		if d := slices.Index(tasks, a.Task) - slices.Index(tasks, b.Task); d != 0 {
			return d
		}
		return c.place(a.Model) - c.place(b.Model)
	})
	var scores []report.Score
	var first *foundScore
	for i, s := range list {
		if i == 0 || s.Task != first.Task {
			first = s
		} else if err := s.compare(first); err != nil {
			return nil, err
		}
		if same := slices.IndexFunc(scores, func(o report.Score) bool {
			return o.Model == s.Model && o.Task == s.Task && o.Provider == s.Provider && o.Precision == s.Precision
		}); same >= 0 {
			c.warn("%q is another result of %q on %q: it is left out", s.file, s.Model, s.Task)
			continue
		}
		scores = append(scores, s.Score)
	}
	return scores, nil
}

// compare sets the difference to the first, where both have values of the same queries.
func (s *foundScore) compare(first *foundScore) error {
	if s.perQuery == "" || first.perQuery == "" {
		return nil
	}
	a, err := evaluate.ReadPerQuery(first.perQuery, s.Metric)
	if err != nil {
		return err
	}
	b, err := evaluate.ReadPerQuery(s.perQuery, s.Metric)
	if err != nil {
		return err
	}
	d, err := evaluate.Compare(a, b)
	if err != nil {
		return fmt.Errorf("task %q: %w", s.Task, err)
	}
	s.Difference = &report.Difference{
		Against: first.Model, Value: d.Difference, Low: d.Low, High: d.High, Queries: d.Queries, Better: d.Better, Worse: d.Worse,
	}
	return nil
}

// place is where a model stands on the page; those that only have scores come last.
func (c *collection) place(name string) int {
	i := slices.IndexFunc(c.models, func(m *foundModel) bool { return m.Name == name })
	if i < 0 {
		return len(c.models)
	}
	return i
}

// nameScore finds the model of a result, by its hash, else by its name. It reports false for a result of other
// weights than the model of that name has now.
func (c *collection) nameScore(s *foundScore) bool {
	for _, m := range c.models {
		if s.hash != "" && slices.Contains(m.hashes, s.hash) {
			s.Model = m.Name
			return true
		}
	}
	base := modelBase(s.Model)
	for _, m := range c.models {
		if m.Name != base {
			continue
		}
		if s.hash != "" {
			c.warn("%q was scored with other weights than %q has now: it is left out", s.file, m.Path)
			return false
		}
	}
	if s.Model = base; s.hash != "" && slices.ContainsFunc(c.scores, func(o *foundScore) bool { return o.Model == base && o.hash != s.hash }) {
		s.Model += " " + strings.TrimPrefix(s.hash, "sha256:")[:7]
	}
	return true
}
