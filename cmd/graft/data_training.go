package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"path"
	"path/filepath"

	"graft/evaluate"
)

// dureaderAddress is where the reference's rows of DuReader-Retrieval (Qiu et al. 2022) are.
var dureaderAddress = "https://paddlenlp.bj.bcebos.com/datasets/dureader_dual.train.jsonl"

func fetchDuReader(ctx context.Context, o dataOptions) (count, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, dureaderAddress, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %q: %s", dureaderAddress, answer.Status)
	}
	name := path.Base(dureaderAddress)
	p := newProgress(o.log, "MB")
	defer p.done()
	body := &countedReader{Reader: answer.Body, count: func(n int64) { p.update("fetch "+name, int(n/1e6), int(max(0, answer.ContentLength)/1e6)) }}
	readme := fmt.Sprintf("# DuReader-Retrieval\n\nTraining rows from %s, by graft data dureader.\n"+
		"Its licence and its authors are named at https://github.com/baidu/DuReader/tree/master/DuReader-Retrieval.\n", dureaderAddress)
	return o.writeRows(evaluate.ReadTrainingRows(body, name), readme)
}

// countedReader tells how much was read through it.
type countedReader struct {
	io.Reader
	n     int64
	count func(n int64)
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	r.count(r.n)
	return n, err
}

// mMARCO's repository (Bonifacio et al. 2021) and what its training data in Chinese is made of.
const (
	mmarcoRepo       = "unicamp-dl/mmarco"
	mmarcoCollection = "data/google/collections/chinese_collection.tsv"
	mmarcoQueries    = "data/google/queries/train/chinese_queries.train.tsv"
	mmarcoTriples    = "data/triples.train.ids.small.tsv"
)

func fetchMMARCO(ctx context.Context, o dataOptions) (count, error) {
	dir, err := o.fetch(ctx, mmarcoRepo, "main", mmarcoCollection, mmarcoQueries, mmarcoTriples)
	if err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	m := evaluate.MMARCO{Collection: in(mmarcoCollection), Queries: in(mmarcoQueries), Triples: in(mmarcoTriples)}
	text := fmt.Sprintf("The training triples of the data set %s of the Hugging Face hub, commit %s, in Chinese, one a row, by graft data mmarco.", mmarcoRepo, filepath.Base(dir))
	return o.writeRows(until(ctx, m.Rows()), describe("mMARCO", text, mmarcoRepo))
}

// until ends rows with ctx.
func until(ctx context.Context, rows iter.Seq2[evaluate.TrainingRow, error]) iter.Seq2[evaluate.TrainingRow, error] {
	return func(yield func(evaluate.TrainingRow, error) bool) {
		for row, err := range rows {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// writeRows writes training rows, as many as are asked for.
func (o dataOptions) writeRows(rows iter.Seq2[evaluate.TrainingRow, error], readme string) (count, error) {
	taken, p := 0, newProgress(o.log, "rows")
	defer p.done()
	n, err := evaluate.WriteTraining(o.out, func(yield func(evaluate.TrainingRow, error) bool) {
		for row, err := range rows {
			taken++
			p.update("write", taken, o.rows)
			if !yield(row, err) || taken == o.rows {
				return
			}
		}
	}, readme, o.overwrite)
	if err != nil {
		return nil, err
	}
	return count{{"rows", n}}, nil
}
