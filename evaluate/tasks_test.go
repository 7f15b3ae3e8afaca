package evaluate

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTaskTable(t *testing.T) {
	commit := regexp.MustCompile(`^[0-9a-f]{40}$`)
	seen := map[string]bool{}
	ignoring := 0
	for _, task := range Tasks {
		if seen[strings.ToLower(task.Name)] {
			t.Errorf("%s stands twice", task.Name)
		}
		seen[strings.ToLower(task.Name)] = true
		if task.IgnoreIdenticalIDs {
			ignoring++
		}
		if task.Documents < 1000 || task.Queries < 40 {
			t.Errorf("%s: %d queries and %d documents", task.Name, task.Queries, task.Documents)
		}
		queries, documents := task.Queries, task.Documents
		for _, part := range task.Parts {
			p, _ := FindTask(part)
			queries, documents = queries-p.Queries, documents-p.Documents
		}
		if len(task.Parts) > 0 && (queries != 0 || documents != 0) {
			t.Errorf("%s: %d queries and %d documents are not those of its parts", task.Name, task.Queries, task.Documents)
		}
		if task.Split != "test" && task.Split != "dev" {
			t.Errorf("%s: split %q", task.Name, task.Split)
		}
		for _, part := range task.Parts {
			if _, known := FindTask(part); !known {
				t.Errorf("%s: part %s is not in the table", task.Name, part)
			}
		}
		if len(task.Parts) > 0 || task.Name == "T2Ranking" || task.Name == "MSMARCO-Title" {
			continue
		}
		if !commit.MatchString(task.Revision) || task.OldCommit != "" && !commit.MatchString(task.OldCommit) {
			t.Errorf("%s: revision %q is no commit", task.Name, task.Revision)
		}
		if !strings.HasPrefix(task.Hub, "mteb/") {
			t.Errorf("%s: data set %q", task.Name, task.Hub)
		}
	}
	if ignoring != 10 {
		t.Errorf("%d tasks drop identical ids, want 10", ignoring)
	}
	if task, known := FindTask("scifact"); !known || task.Name != "SciFact" {
		t.Errorf("scifact: %+v", task)
	}
	if task, known := FindTask("Mine"); known || task.Name != "Mine" || task.Split != "test" {
		t.Errorf("an unknown name: %+v", task)
	}
}

func TestLocate(t *testing.T) {
	task, _ := FindTask("SciFact")
	for _, folder := range []string{"SciFact", "scifact", "mteb/scifact"} {
		data := t.TempDir()
		target := filepath.Join(data, folder)
		if err := os.CopyFS(target, os.DirFS(write(t, smallDatasets["beir"]))); err != nil {
			t.Fatal(err)
		}
		if got, err := task.locate(data, "", false); err != nil || got != target {
			t.Errorf("%s: located %q, %v", folder, got, err)
		}
	}
	cache := t.TempDir()
	target := filepath.Join(cache, "datasets--mteb--scifact/snapshots", task.OldCommit)
	if err := os.CopyFS(target, os.DirFS(write(t, smallDatasets["hub"]))); err != nil {
		t.Fatal(err)
	}
	if got, err := task.locate(t.TempDir(), cache, true); err != nil || got != target {
		t.Errorf("cache: located %q, %v", got, err)
	}
	data := write(t, smallDatasets["beir"])
	if got, err := task.locate(data, "", true); err != nil || got != data {
		t.Errorf("the folder itself: located %q, %v", got, err)
	}
	if _, err := task.locate(data, "", false); err == nil {
		t.Error("the folder itself was taken for one of several tasks")
	}
}

// TestAggregate evaluates the twelve parts and their mean, and eleven of them.
func TestAggregate(t *testing.T) {
	data, out := t.TempDir(), t.TempDir()
	mean, _ := FindTask("CQADupstackRetrieval")
	small := os.DirFS(generated(t, 40, 6))
	for _, part := range mean.Parts {
		if err := os.CopyFS(filepath.Join(data, part), small); err != nil {
			t.Fatal(err)
		}
	}
	o := generatedOptions(data, out, &hashEncoder{dim: 8})
	o.Tasks = []string{"CQADupstackRetrieval"}
	outcomes, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	last := outcomes[len(outcomes)-1]
	want := outcomes[0].Result.Splits[0].Entries[0].MainScore // all parts are the same
	if got := last.Result.Splits[0].Entries[0].MainScore; len(outcomes) != 13 || math.Abs(got-want) > 1e-6 || last.Result.DatasetRevision != "1" {
		t.Errorf("%d outcomes, mean %v, want 13 and %v", len(outcomes), got, want)
	}
	if err := os.Remove(o.mustDefaults(t).resultPath(mean.Parts[3])); err != nil {
		t.Fatal(err)
	}
	if _, err := o.mustDefaults(t).aggregate(mean); err == nil || !strings.Contains(err.Error(), "1 of 12 parts are missing: CQADupstackGisRetrieval") {
		t.Errorf("eleven of twelve: %v", err)
	}
}

func (o Options) mustDefaults(t *testing.T) Options {
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return o
}
