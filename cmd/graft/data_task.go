package main

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"graft/evaluate"
)

// fetchTask fetches a task's data set into the hub's cache and writes the task's split of it.
func fetchTask(ctx context.Context, o dataOptions) (count, error) {
	t, err := taskOf(strings.TrimPrefix(o.name, "mteb/"))
	if err != nil {
		return nil, err
	}
	dir, err := o.fetch(ctx, t.Hub, t.Revision)
	if err != nil {
		return nil, err
	}
	d, err := evaluate.OpenDataset(dir, t.Split)
	if err != nil {
		return nil, err
	}
	return o.write(d, t.Split, t.Name, fmt.Sprintf("The split %s of the data set %s of the Hugging Face hub, commit %s, in the BEIR layout, by graft data %s.",
		t.Split, t.Hub, t.Revision, o.name), t.Hub)
}

// taskOf finds a task by its name or its data set's.
func taskOf(name string) (evaluate.Task, error) {
	for _, t := range evaluate.Tasks {
		if !strings.EqualFold(t.Name, name) && !strings.EqualFold(path.Base(t.Hub), name) {
			continue
		}
		if len(t.Parts) > 0 {
			return t, usagef("data: task %s has no data of its own, but these parts: %s", t.Name, strings.Join(t.Parts, ", "))
		}
		if t.Revision != "" {
			return t, nil
		}
	}
	return evaluate.Task{}, withHint(usagef("data: no task of mteb is called %q", name), "docs/commands/data.md lists the tasks")
}

// T2Ranking's repository (Xie et al. 2023), and its files of the split dev.
const t2RankingRepo = "THUIR/T2Ranking"

var t2RankingFiles = []string{"data/collection.tsv", "data/queries.dev.tsv", "data/qrels.dev.tsv"}

func fetchT2Ranking(ctx context.Context, o dataOptions) (count, error) {
	dir, err := o.fetch(ctx, t2RankingRepo, "main", t2RankingFiles...)
	if err != nil {
		return nil, err
	}
	d, err := evaluate.OpenDataset(filepath.Join(dir, "data"), "dev")
	if err != nil {
		return nil, err
	}
	return o.write(d, "dev", "T2Ranking", fmt.Sprintf("The split dev of the data set %s of the Hugging Face hub, commit %s, with its judgments in four grades, in the BEIR layout, by graft data t2ranking.",
		t2RankingRepo, filepath.Base(dir)), t2RankingRepo)
}

// The passages of MS MARCO with their documents' titles, which MSMARCO-Title searches.
const (
	titledPassagesRepo = "Tevatron/msmarco-passage-corpus"
	titledPassagesFile = "corpus.jsonl.gz"
)

func fetchMSMARCOTitle(ctx context.Context, o dataOptions) (count, error) {
	t, _ := evaluate.FindTask("MSMARCO")
	queries, err := o.fetch(ctx, t.Hub, t.Revision)
	if err != nil {
		return nil, err
	}
	passages, err := o.fetch(ctx, titledPassagesRepo, "main", titledPassagesFile)
	if err != nil {
		return nil, err
	}
	d, err := evaluate.OpenMSMARCOTitle(queries, filepath.Join(passages, titledPassagesFile))
	if err != nil {
		return nil, err
	}
	return o.write(d, t.Split, "MSMARCO-Title", fmt.Sprintf("The queries and judgments of the split dev of the data set %s of the Hugging Face hub, commit %s, and the passages of %s, commit %s, in the BEIR layout, by graft data msmarco-title.",
		t.Hub, t.Revision, titledPassagesRepo, filepath.Base(passages)), t.Hub, titledPassagesRepo)
}

// fetch is Hub.FetchDataset, shown as it comes.
func (o dataOptions) fetch(ctx context.Context, repo, rev string, files ...string) (string, error) {
	p := newProgress(o.log, "MB")
	defer p.done()
	return hubOf(p).FetchDataset(ctx, repo, rev, files...)
}

// write writes a task in the BEIR layout, described by text and the repositories it came from.
func (o dataOptions) write(d *evaluate.Dataset, split, name, text string, repositories ...string) (count, error) {
	c, err := evaluate.WriteBEIR(o.out, d, split, describe(name, text, repositories...), o.overwrite)
	if err != nil {
		return nil, err
	}
	return count{{"documents", c.Documents}, {"queries", c.Queries}, {"judgments", c.Judgments}}, nil
}

// describe is the README of a data set made of repositories of the hub.
func describe(name, text string, repositories ...string) string {
	for i, r := range repositories {
		repositories[i] = "https://huggingface.co/datasets/" + r
	}
	return fmt.Sprintf("# %s\n\n%s\nIts licence and its authors are named at %s.\n", name, text, strings.Join(repositories, " and "))
}
