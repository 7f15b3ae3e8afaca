// Package evaluate measures text encoders on retrieval benchmarks: it reads a data set in
// any of the usual layouts, searches the whole corpus exactly while streaming it, scores
// the rankings to the letter of pytrec_eval and mteb, and writes mteb's result files.
//
// The model is behind the Encoder interface and the matrix product behind Scorer, so the
// package knows nothing of how vectors are made.
package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role says what a text is to the encoder, which prepends the prompt of that role.
type Role string

// The two roles, under sentence-transformers' names of the prompts.
const (
	QueryRole    Role = "query"
	DocumentRole Role = "document"
)

// Encoder turns texts into vectors.
type Encoder interface {
	// Encode returns one vector per text, in order; all calls agree in dimension, and a
	// call with the same texts gives the same vectors, equal texts equal ones. The result belongs to the caller.
	// done is told how many texts of this call are finished, never concurrently.
	Encode(ctx context.Context, texts []string, role Role, done func(n int)) (Matrix, error)
}

// EncoderSettings is how an encoder encodes, as it is stored beside the results and made
// part of the key under which an interrupted run is resumed: whatever changes the vectors
// must be in here.
type EncoderSettings struct {
	Model             string `json:"model"`      // as the user named it
	ModelHash         string `json:"model_hash"` // of the file that is run
	Variant           string `json:"variant,omitempty"`
	QueryPrompt       string `json:"query_prompt"`
	DocumentPrompt    string `json:"document_prompt"`
	QuerySuffix       string `json:"query_suffix,omitempty"`
	DocumentSuffix    string `json:"document_suffix,omitempty"`
	Pooling           string `json:"pooling"`
	Normalize         bool   `json:"normalize"`
	QueryMaxLength    int    `json:"query_max_length"`
	DocumentMaxLength int    `json:"document_max_length"`
	Precision         string `json:"precision"`
	Provider          string `json:"provider"`
	// PairTitles has documents encoded as pairs: the encoder gets title, PairSeparator and text as one string each.
	PairTitles bool              `json:"pair_titles,omitempty"`
	Other      map[string]string `json:"other,omitempty"` // tokenizer overrides and the like
}

// Options is what an evaluation is run with.
type Options struct {
	Tasks []string // names; CQADupstackRetrieval stands for its twelve parts and their mean
	// Data is the folder of the data: a data set, or the parent of several. HubCache, if
	// not empty, is the Hugging Face hub's cache folder, looked at second.
	Data, HubCache string
	Split          string // "" is the task's own
	Out            string // results go to Out/results, runs and settings to Out/runs

	Model ModelMeta
	// Encoder is asked for the encoder of each task, because prompts may differ by task.
	Encoder func(Task) (Encoder, EncoderSettings, error)
	Scorer  Scorer // nil is GoScorer

	// IgnoreIdenticalIDs drops documents with the query's id in every task; the table of
	// tasks says for which known ones it is done anyway.
	IgnoreIdenticalIDs bool

	TopK         int // documents kept per query; 0 is 1000, as in mteb
	MaxDocuments int // only the first so many of the corpus; named in the results' folder
	// Experiment names a variant of the model; its results go to mteb's experiments folder.
	Experiment map[string]string
	Languages  []string // of the results; nil is the task's own
	Tool       string   // name and version, for the settings file

	// MemoryBudget bounds, in bytes, what the search holds apart from the encoder:
	// vectors and texts of a chunk, query vectors, rankings. 0 is 1 GiB. Document ids
	// come on top, some twenty bytes each.
	MemoryBudget int64
	// ChunkDocuments is how many documents are encoded at a time, and so how much work
	// an interruption can cost; 0 is 2048. The memory budget may make it less.
	ChunkDocuments int

	// Shard of Shards, from 1, encodes every Shards-th chunk only. The processes share the
	// output folder and nothing else; the one that finishes last merges their rankings and
	// writes the result, the same as one process alone. Shards below 2 means all chunks.
	Shard, Shards int

	SaveRun, SavePredictions bool // a TREC run; mteb's predictions
	Overwrite                bool // replaces results that other settings gave
	KeepResume               bool // keeps what a resumed run starts from

	Progress func(Progress)    // may be called from any goroutine, but not concurrently
	Warn     func(text string) // something tolerated
	Now      func() time.Time  // nil is time.Now
}

// Progress is how far a task is.
type Progress struct {
	Task  string
	Phase string // "queries" or "documents"
	Done  int    // at first, what interrupted runs did
	Total int    // an estimate for documents; 0 where unknown
}

// Outcome is the result of one task.
type Outcome struct {
	Task   Task
	Result *TaskResult
	// Table has the per-query values; nil where the result was there already or is a mean.
	Table *Table
	// Reused says that the result on disk was made with the same settings and is returned.
	Reused bool
	// Pending says that this shard is done and others are not: there is no Result yet.
	Pending  bool
	Files    []string // written or found, the result file first
	Warnings []string

	Queries, Documents int // evaluated and searched; of a mean: the sums of its parts
}

// Whole reports whether all of the task was evaluated: its own split, every query against every document. It is false for
// tasks that are not in the table.
func (o *Outcome) Whole() bool {
	known, ok := FindTask(o.Task.Name)
	return ok && o.Task.Split == known.Split && o.Queries == known.Queries && o.Documents == known.Documents
}

// The phases of an evaluation, under mteb's names.
const (
	phaseLoading  = "Data loading"
	phaseEncoding = "Encoding queries and documents"
	phaseScoring  = "Scoring"
)

// Run evaluates the tasks one after the other and returns what it has, also on error. The
// data of all tasks is located before anything is encoded. A task that is finished
// with the same settings is read from its files; one that was interrupted continues
// with the chunk after the last finished one.
func Run(ctx context.Context, o Options) ([]*Outcome, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	jobs, means, err := o.jobs()
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	var outcomes []*Outcome
	for _, j := range jobs {
		outcome, err := j.run(ctx)
		if err != nil {
			return outcomes, fmt.Errorf("evaluate: task %q: %w", j.task.Name, err)
		}
		outcomes = append(outcomes, outcome)
	}
	if o.Shards > 1 && anyPending(outcomes) {
		return outcomes, nil
	}
	for _, mean := range means {
		outcome, err := o.aggregate(mean)
		if err != nil {
			return outcomes, fmt.Errorf("evaluate: task %q: %w", mean.Name, err)
		}
		for _, part := range outcomes {
			if slices.Contains(mean.Parts, part.Task.Name) {
				outcome.Queries, outcome.Documents = outcome.Queries+part.Queries, outcome.Documents+part.Documents
			}
		}
		outcomes = append(outcomes, outcome)
	}
	return outcomes, nil
}

func anyPending(outcomes []*Outcome) bool {
	return slices.ContainsFunc(outcomes, func(o *Outcome) bool { return o.Pending })
}

func (o Options) withDefaults() (Options, error) {
	switch {
	case o.Encoder == nil:
		return o, errors.New("no encoder")
	case len(o.Tasks) == 0:
		return o, errors.New("no task")
	case o.Out == "":
		return o, errors.New("no output folder")
	}
	for _, name := range o.Tasks {
		if name == "" || strings.ContainsAny(name, "/\\\x00") || strings.HasPrefix(name, ".") {
			return o, fmt.Errorf("task %q: results are called after it, so it must be a name, not a path", name)
		}
	}
	o.Model = o.Model.completed()
	if s := o.Model.Similarity; s != "cosine" && s != "dot" {
		return o, fmt.Errorf("similarity %q is neither cosine nor dot", s)
	}
	if o.Shards > 1 && (o.Shard < 1 || o.Shard > o.Shards) {
		return o, fmt.Errorf("shard %d of %d does not exist", o.Shard, o.Shards)
	}
	setDefault(&o.TopK, 1000)
	setDefault(&o.MemoryBudget, 1<<30)
	setDefault(&o.ChunkDocuments, chunkDocuments)
	if o.Scorer == nil {
		o.Scorer = GoScorer{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	o.Experiment = o.experiment()
	return o, nil
}

func setDefault[T int | int64](v *T, value T) {
	if *v <= 0 {
		*v = value
	}
}

// experiment adds what makes a result incomparable to the variant's name.
func (o Options) experiment() map[string]string {
	e := map[string]string{}
	for k, v := range o.Experiment {
		e[k] = v
	}
	if o.MaxDocuments > 0 {
		e["max_documents"] = fmt.Sprint(o.MaxDocuments)
	}
	if len(e) == 0 {
		return nil
	}
	return e
}

// jobs expands the names to tasks with data, and says which means to form afterwards.
func (o Options) jobs() (jobs []*job, means []Task, err error) {
	names := []string{}
	for _, name := range o.Tasks {
		t, _ := FindTask(name)
		if len(t.Parts) > 0 {
			means = append(means, t)
			names = append(names, t.Parts...)
			continue
		}
		names = append(names, t.Name)
	}
	for _, name := range names {
		t, _ := FindTask(name)
		if o.Split != "" {
			t.Split = o.Split
		}
		t.IgnoreIdenticalIDs = t.IgnoreIdenticalIDs || o.IgnoreIdenticalIDs
		dir, err := t.locate(o.Data, o.HubCache, len(names) == 1)
		if err != nil {
			return nil, nil, err
		}
		jobs = append(jobs, &job{Options: o, task: t, dir: dir})
	}
	return jobs, means, nil
}
