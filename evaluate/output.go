package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
)

// Settings is the file beside a result that says how it came about:
// runs/<model>/<revision>/<Task>.graft_settings.json. It does not lie in the results
// folder, because mteb reads every .json file there as a result.
type Settings struct {
	Tool    string          `json:"tool,omitempty"`
	Task    string          `json:"task"`
	Encoder EncoderSettings `json:"encoder"`
	CorpusCounts
	Queries            int      `json:"queries"`
	Similarity         string   `json:"similarity"`
	Split              string   `json:"split"`
	Layout             string   `json:"layout"`
	DataHash           string   `json:"data_sha256"`
	TopK               int      `json:"top_k"`
	Cutoffs            []int    `json:"cutoffs"`
	IgnoreIdenticalIDs bool     `json:"ignore_identical_ids"`
	MaxDocuments       int      `json:"max_documents,omitempty"`
	Warnings           []string `json:"warnings,omitempty"`
	Key                string   `json:"key"` // of all that the rankings depend on
}

// folder is where files of a kind ("results", "runs") go.
func (o Options) folder(kind string) string {
	return resultFolder(o.Out, kind, o.Model.Name, o.Model.Revision, experimentName(o.Experiment))
}

func (o Options) resultPath(task string) string {
	return filepath.Join(o.folder("results"), task+".json")
}

func (j *job) settingsPath() string {
	return filepath.Join(j.folder("runs"), j.task.Name+".graft_settings.json")
}

// ErrOtherSettings says that a result is there that Options.Overwrite does not allow to replace.
var ErrOtherSettings = errors.New("the result exists and was made with other settings or data")

// finished returns the result on disk if the same settings and data gave it. A result of
// other settings is an error, or is removed where it may be overwritten.
func (j *job) finished() (*Outcome, error) {
	for _, kind := range []string{"results", "runs"} { // so that an unwritable place shows now
		if err := os.MkdirAll(j.folder(kind), 0o755); err != nil {
			return nil, fmt.Errorf("make output folder: %w", err)
		}
	}
	path := j.resultPath(j.task.Name)
	result, err := ReadTaskResult(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !j.Overwrite {
		var s Settings
		data, err := os.ReadFile(j.settingsPath())
		if err == nil && json.Unmarshal(data, &s) == nil && s.Key == j.key {
			return j.found(path, result, s), nil
		}
	}
	if !j.Overwrite {
		return nil, fmt.Errorf("%q: %w", path, ErrOtherSettings)
	}
	return nil, os.Remove(path)
}

// found is the outcome that lies on disk; nil if a file that is wanted now is missing.
func (j *job) found(path string, result *TaskResult, s Settings) *Outcome {
	o := &Outcome{Task: j.task, Result: result, Reused: true, Files: []string{path}, Warnings: j.warnings, Queries: s.Queries, Documents: s.Documents}
	for _, f := range j.outputs(nil, nil) {
		if _, err := os.Stat(f.path); err != nil {
			return nil
		}
		o.Files = append(o.Files, f.path)
	}
	return o
}

// write writes all files of the task, the result last: it says that the task is finished.
func (j *job) write(result *TaskResult, table *Table, run iter.Seq[Ranking]) ([]string, error) {
	files := []string{j.resultPath(j.task.Name)}
	for _, o := range j.outputs(table, run) {
		if err := writeFile(o.path, o.write); err != nil {
			return nil, err
		}
		files = append(files, o.path)
	}
	if err := mergeRunSettings(j.folder("results"), j.runSettings()); err != nil {
		return nil, err
	}
	return files, writeFile(files[0], result.Write)
}

// outputs lists the files beside the result.
func (j *job) outputs(table *Table, run iter.Seq[Ranking]) []output {
	runs := j.folder("runs")
	outputs := []output{
		{filepath.Join(runs, j.task.Name+".per_query.tsv"), table.WriteTSV},
		{j.settingsPath(), j.writeSettings},
		{filepath.Join(j.folder("results"), "model_meta.json"), j.modelMeta().write},
	}
	if j.SaveRun {
		outputs = append(outputs, output{filepath.Join(runs, j.task.Name+".trec"), func(w io.Writer) error {
			return WriteTREC(w, run, "graft")
		}})
	}
	if j.SavePredictions {
		outputs = append(outputs, output{filepath.Join(runs, j.task.Name+"_predictions.json"), func(w io.Writer) error {
			return WritePredictions(w, run, j.Model.Name, j.Model.Revision, "default", j.task.Split)
		}})
	}
	return outputs
}

// output is a file and what goes into it.
type output struct {
	path  string
	write func(io.Writer) error
}

// modelMeta is the model's description with the experiment in it.
func (o Options) modelMeta() ModelMeta {
	m := o.Model
	m.ExperimentKwargs = o.Experiment
	return m
}

func (j *job) runSettings() runSettings {
	return runSettings{
		Task: j.task.Name, Splits: []string{j.task.Split}, Subsets: []string{"default"},
		Version: map[string]string{"mteb": mtebVersion},
		EncodeKwargs: map[string]any{
			"precision": j.settings.Precision, "query_prompt": j.settings.QueryPrompt, "document_prompt": j.settings.DocumentPrompt,
		},
	}
}

func (j *job) writeSettings(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(Settings{
		Tool: j.Tool, Task: j.task.Name, Encoder: j.settings, CorpusCounts: j.counts, Queries: len(j.data.Queries),
		Similarity: j.Model.Similarity, Split: j.task.Split, Layout: j.data.Layout, DataHash: j.print.hash,
		TopK: j.TopK, Cutoffs: Cutoffs, IgnoreIdenticalIDs: j.task.IgnoreIdenticalIDs, MaxDocuments: j.MaxDocuments,
		Warnings: j.warnings, Key: j.key,
	})
}

// WriteTSV writes the values of every query under the keys of the result file: what
// Compare reads.
func (t *Table) WriteTSV(w io.Writer) error {
	p := &errorWriter{w: w}
	p.printf("query-id")
	for _, m := range t.Metrics {
		for _, k := range m.cutoffs() {
			p.printf("\t%s", m.key(k))
		}
	}
	for q, query := range t.Queries {
		p.printf("\n%s", query)
		for m := range t.Metrics {
			for _, v := range t.Values[m][q] {
				p.printf("\t%s", strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
	}
	p.printf("\n")
	return p.err
}
