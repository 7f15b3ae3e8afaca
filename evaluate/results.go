package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mtebVersion is the version of mteb whose figures and files are reproduced.
const mtebVersion = "2.26.24"

// TaskResult is one result file of mteb (mteb/results/task_result.py).
type TaskResult struct {
	DatasetRevision string
	TaskName        string
	MtebVersion     string // "" where the file has null
	Splits          []SplitScores
	EvaluationTime  float64 // seconds; NaN where the file has null
	Date            float64 // Unix seconds; NaN where the file has none
	Phases          []Phase
}

// SplitScores holds the entries of one split, one per subset.
type SplitScores struct {
	Split   string
	Entries []Entry
}

// Entry holds the figures of one subset, in the order of the file. A fresh retrieval
// entry has 148 figures, and with main_score, hf_subset, languages and mteb_version
// 152 keys.
type Entry struct {
	Scores      []Score
	MainScore   float64
	Subset      string // "default" but for multilingual tasks
	Languages   []string
	MtebVersion string
}

// Phase is one timed part of an evaluation, in seconds from its start.
type Phase struct {
	Name   string  `json:"name"`
	Start  float64 `json:"start"`
	End    float64 `json:"end"`
	Split  string  `json:"split"`
	Subset string  `json:"subset"`
}

// Score returns a figure by its key ("ndcg_at_10", "main_score").
func (e *Entry) Score(key string) (float64, bool) {
	if key == mainScoreKey {
		return e.MainScore, true
	}
	for _, s := range e.Scores {
		if s.Key == key {
			return s.Value, true
		}
	}
	return 0, false
}

// Write writes the file as mteb does: two blanks of indent, floats as Python prints
// them, NaN as a bare word.
func (r *TaskResult) Write(w io.Writer) error {
	p := &errorWriter{w: w}
	p.printf("{\n  \"dataset_revision\": %s,\n  \"task_name\": %s,\n  \"mteb_version\": %s,\n  \"scores\": {",
		quote(r.DatasetRevision), quote(r.TaskName), quoteOrNull(r.MtebVersion))
	for i, s := range r.Splits {
		p.printf("%s\n    %s: [", separator(i), quote(s.Split))
		for j, e := range s.Entries {
			p.printf("%s\n      {", separator(j))
			e.write(p)
			p.printf("\n      }")
		}
		p.printf("\n    ]")
	}
	p.printf("\n  },\n  \"evaluation_time\": %s,\n  \"kg_co2_emissions\": null,\n  \"date\": %s,\n  \"evaluation_phases\": ",
		floatOrNull(r.EvaluationTime), floatOrNull(r.Date))
	writePhases(p, r.Phases)
	p.printf("\n}")
	return p.err
}

func (e *Entry) write(p *errorWriter) {
	for _, s := range e.Scores {
		p.printf("\n        %s: %s,", quote(s.Key), pythonFloat(s.Value))
	}
	p.printf("\n        \"main_score\": %s,\n        \"hf_subset\": %s,\n        \"languages\": [",
		pythonFloat(e.MainScore), quote(e.Subset))
	for i, l := range e.Languages {
		p.printf("%s\n          %s", separator(i), quote(l))
	}
	p.printf("\n        ]")
	if e.MtebVersion != "" {
		p.printf(",\n        \"mteb_version\": %s", quote(e.MtebVersion))
	}
}

func writePhases(p *errorWriter, phases []Phase) {
	if len(phases) == 0 {
		p.printf("null")
		return
	}
	p.printf("[")
	for i, f := range phases {
		p.printf("%s\n    {\n      \"name\": %s,\n      \"start\": %s,\n      \"end\": %s,\n      \"split\": %s,\n      \"subset\": %s\n    }",
			separator(i), quote(f.Name), pythonFloat(f.Start), pythonFloat(f.End), quote(f.Split), quote(f.Subset))
	}
	p.printf("\n  ]")
}

func separator(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

func quoteOrNull(s string) string {
	if s == "" {
		return "null"
	}
	return quote(s)
}

func floatOrNull(x float64) string {
	if math.IsNaN(x) {
		return "null"
	}
	return pythonFloat(x)
}

// ReadTaskResult reads a result file of any age: mteb's of 1.11 and later, and the older
// layout with the splits at the top.
func ReadTaskResult(path string) (*TaskResult, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	r, err := parseTaskResult(data)
	if err != nil {
		return nil, fmt.Errorf("read result: %q: %w", path, err)
	}
	return r, nil
}

func parseTaskResult(data []byte) (*TaskResult, error) {
	data = withoutNaN(data)
	var file struct {
		DatasetRevision *string                      `json:"dataset_revision"`
		TaskName        string                       `json:"task_name"`
		OldName         string                       `json:"mteb_dataset_name"`
		MtebVersion     *string                      `json:"mteb_version"`
		Scores          map[string][]json.RawMessage `json:"scores"`
		EvaluationTime  *float64                     `json:"evaluation_time"`
		Date            *float64                     `json:"date"`
		Phases          []Phase                      `json:"evaluation_phases"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	r := &TaskResult{TaskName: file.TaskName, EvaluationTime: orNaN(file.EvaluationTime), Date: orNaN(file.Date), Phases: file.Phases}
	if file.DatasetRevision != nil {
		r.DatasetRevision = *file.DatasetRevision
	}
	if file.MtebVersion != nil {
		r.MtebVersion = *file.MtebVersion
	}
	if file.Scores == nil && file.OldName != "" {
		r.TaskName = file.OldName
		return r, r.addOldSplits(data)
	}
	if r.TaskName == "" || file.Scores == nil {
		return nil, errors.New("not a result file: no task_name or no scores")
	}
	for _, split := range slices.Sorted(maps.Keys(file.Scores)) {
		s := SplitScores{Split: split}
		for _, raw := range file.Scores[split] {
			e, err := parseEntry(raw)
			if err != nil {
				return nil, fmt.Errorf("split %q: %w", split, err)
			}
			s.Entries = append(s.Entries, e)
		}
		r.Splits = append(r.Splits, s)
	}
	return r, nil
}

// addOldSplits reads the layout before mteb 1.11: {"mteb_dataset_name", "test": {figures}}.
func (r *TaskResult) addOldSplits(data []byte) error {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		return err
	}
	for _, split := range slices.Sorted(maps.Keys(top)) {
		if !strings.HasPrefix(string(top[split]), "{") {
			continue
		}
		e, err := parseEntry(top[split])
		if err != nil {
			return fmt.Errorf("split %q: %w", split, err)
		}
		e.Subset = "default"
		if main, ok := e.Score("ndcg_at_10"); ok {
			e.MainScore = main
		}
		r.Splits = append(r.Splits, SplitScores{split, []Entry{e}})
	}
	return nil
}

// parseEntry keeps every number, in the order of the file; null figures become NaN.
func parseEntry(raw json.RawMessage) (Entry, error) {
	e := Entry{}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	err := eachKey(d, func(key string) error {
		var v any
		if err := d.Decode(&v); err != nil {
			return err
		}
		switch v := v.(type) {
		case float64:
			e.add(key, v)
		case nil:
			e.add(key, math.NaN())
		case string:
			if key == "hf_subset" {
				e.Subset = v
			} else if key == "mteb_version" {
				e.MtebVersion = v
			}
		case []any:
			if key == "languages" {
				for _, l := range v {
					e.Languages = append(e.Languages, fmt.Sprint(l))
				}
			}
		}
		return nil
	})
	return e, err
}

func (e *Entry) add(key string, value float64) {
	if key == "main_score" {
		e.MainScore = value
		return
	}
	e.Scores = append(e.Scores, Score{key, value})
}

func orNaN(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

// resultFolder is where mteb looks for the files of a model:
// <out>/results/<model>/<revision>, and below it experiments/<name> for a variant.
func resultFolder(out, kind, model, revision, experiment string) string {
	name := strings.NewReplacer("/", "__", " ", "_").Replace(model)
	dir := filepath.Join(out, kind, name, revision)
	if experiment != "" {
		dir = filepath.Join(dir, "experiments", experiment)
	}
	return dir
}
