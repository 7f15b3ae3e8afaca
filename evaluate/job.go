package evaluate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// job is one task being evaluated.
type job struct {
	Options
	task Task
	dir  string // of its data

	data     *Dataset
	print    fingerprint
	encoder  Encoder
	settings EncoderSettings
	key      string // of the settings and the data
	started  time.Time
	earlier  float64 // seconds that interrupted runs took before
	counts   CorpusCounts
	chunks   int  // read so far, those of other shards included
	complete bool // the corpus is read to its end
	phases   []Phase
	warnings []string
}

// CorpusCounts is what was met in the corpus.
type CorpusCounts struct {
	Documents int `json:"documents"`
	Empty     int `json:"empty_documents"`    // nothing but white space
	Repeated  int `json:"repeated_documents"` // text as another one's in the same chunk
}

// run evaluates the task from its data to its files.
func (j *job) run(ctx context.Context) (*Outcome, error) {
	j.started = j.Now()
	if err := j.load(); err != nil {
		return nil, err
	}
	done, err := j.finished()
	if err != nil {
		return nil, err
	}
	if done != nil {
		return done, j.dropResume() // of which a run that was killed at its very end left a part
	}
	j.phase(phaseLoading, "", "")
	run, err := j.search(ctx)
	if errors.Is(err, errPending) {
		return &Outcome{Task: j.task, Pending: true, Warnings: j.warnings}, nil
	}
	if err != nil {
		return nil, err
	}
	j.phase(phaseEncoding, j.task.Split, "default")
	table := ScoreRun(run, j.data.Qrels, j.task.IgnoreIdenticalIDs)
	result := j.result(table)
	files, err := j.write(result, table, run)
	if err != nil {
		return nil, err
	}
	if err := j.dropResume(); err != nil {
		return nil, err
	}
	return &Outcome{
		Task: j.task, Result: result, Table: table, Files: files, Warnings: j.warnings, Queries: len(j.data.Queries), Documents: j.counts.Documents,
	}, nil
}

// load opens the data and the encoder and derives the key of the whole.
func (j *job) load() error {
	var err error
	if j.data, err = OpenDataset(j.dir, j.task.Split); err != nil {
		return err
	}
	if j.print, err = fingerprintOf(j.data); err != nil {
		return err
	}
	if j.MaxDocuments > 0 {
		if err := j.data.truncate(j.MaxDocuments); err != nil {
			return err
		}
		j.print.documents = min(j.print.documents, j.MaxDocuments)
	}
	if len(j.data.Queries) == 0 {
		return fmt.Errorf("split %q has no judged queries", j.task.Split)
	}
	for _, w := range j.data.Warnings {
		j.warn("%s", w)
	}
	if empty := countEmpty(j.data.Queries); empty > 0 {
		j.warn("%d queries are empty and are encoded as they are", empty)
	}
	if j.encoder, j.settings, err = j.Options.Encoder(j.task); err != nil {
		return err
	}
	j.key, err = j.makeKey()
	return err
}

func countEmpty(queries []Query) int {
	n := 0
	for _, q := range queries {
		if strings.TrimSpace(q.Text) == "" {
			n++
		}
	}
	return n
}

func (j *job) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.warnings = append(j.warnings, text)
	j.Warn(j.task.Name + ": " + text)
}

// seconds is the time since the start, that of interrupted runs included.
func (j *job) seconds() float64 { return j.earlier + j.Now().Sub(j.started).Seconds() }

// phase ends a phase that began where the one before ended.
func (j *job) phase(name, split, subset string) {
	start := 0.0
	if n := len(j.phases); n > 0 {
		start = j.phases[n-1].End
	}
	j.phases = append(j.phases, Phase{name, start, j.seconds(), split, subset})
}

// result puts the figures into mteb's form.
func (j *job) result(table *Table) *TaskResult {
	entry := Entry{Scores: table.Scores(), Subset: "default", Languages: j.languages(), MtebVersion: mtebVersion}
	entry.MainScore, _ = entry.Score(MainScore)
	j.phase(phaseScoring, j.task.Split, "default")
	return &TaskResult{
		DatasetRevision: j.datasetRevision(),
		TaskName:        j.task.Name,
		MtebVersion:     mtebVersion,
		Splits:          []SplitScores{{j.task.Split, []Entry{entry}}},
		EvaluationTime:  j.seconds(),
		Date:            float64(j.Now().UnixMicro()) / 1e6,
		Phases:          j.phases,
	}
}

// datasetRevision is the hub's commit for a known task, else a hash of the data in the
// same form.
func (j *job) datasetRevision() string { return cmp.Or(j.task.Revision, j.print.hash[:40]) }

func (j *job) languages() []string {
	if j.Languages != nil {
		return j.Languages
	}
	return []string{j.task.Language}
}

// truncate keeps the first documents of the corpus, the judgments of those, and the
// queries that still have a relevant one.
func (d *Dataset) truncate(documents int) error {
	kept := map[string]bool{}
	all := d.Documents
	d.Documents = func(yield func(Document, error) bool) {
		n := 0
		for doc, err := range all {
			if n == documents || !yield(doc, err) || err != nil {
				return
			}
			n++
		}
	}
	for doc, err := range d.Documents {
		if err != nil {
			return err
		}
		kept[doc.ID] = true
	}
	for query, judgments := range d.Qrels {
		relevant := false
		for document, grade := range judgments {
			if !kept[document] {
				delete(judgments, document)
				continue
			}
			relevant = relevant || grade > 0
		}
		if !relevant {
			delete(d.Qrels, query)
		}
	}
	d.Queries = slices.DeleteFunc(d.Queries, func(q Query) bool { return d.Qrels[q.ID] == nil })
	return nil
}
