package evaluate

import (
	"iter"
	"path/filepath"
)

// t2Ranking is the layout of THUIR/T2Ranking (Xie et al. 2023): collection.tsv (pid,
// passage), queries.<split>.tsv (qid, query), and judgments in qrels.<split>.tsv (qid, -,
// pid, grade 0..3) or qrels.retrieval.<split>.tsv (qid, pid: relevant), all with a
// header row and without quoting. An empty passage is "NA", as its own loader makes it.
var t2Ranking = Layout{
	Name: "t2ranking",
	Doc:  "T2Ranking (collection.tsv with a header, queries.<split>.tsv, qrels.<split>.tsv)",
	Detect: func(dir string) bool {
		collection, ok := existing(dir, "collection.tsv")
		if !ok {
			return false
		}
		if found, _ := filepath.Glob(filepath.Join(dir, "qrels.retrieval.*.tsv*")); len(found) > 0 {
			return true
		}
		for row, err := range readTSV(collection) {
			return err == nil && isHeader(row.fields, []string{"pid"})
		}
		return false
	},
	Open: openT2Ranking,
}

func openT2Ranking(dir, split string) (*Dataset, error) {
	corpus, err := required(dir, "collection.tsv")
	if err != nil {
		return nil, err
	}
	queries, err := required(dir, "queries."+split+".tsv")
	if err != nil {
		return nil, err
	}
	qrels, err := required(dir, "qrels."+split+".tsv", "qrels.retrieval."+split+".tsv")
	if err != nil {
		return nil, err
	}
	columns := map[int]judgmentColumns{4: {0, 2, 3}, 3: {0, 1, 2}, 2: {0, 1, -1}}
	j, err := readTSVJudgments(qrels, columns, "qid")
	if err != nil {
		return nil, err
	}
	d := &Dataset{
		Qrels:       j.qrels,
		Documents:   documents(withNA(readTSVRecords(corpus, "pid"))),
		CorpusFiles: []string{corpus},
		OtherFiles:  []string{queries, qrels},
		Warnings:    j.warnings(),
	}
	d.Queries, err = selectQueries(readTSVRecords(queries, "qid"), j)
	return d, err
}

func withNA(rows iter.Seq2[record, error]) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for r, err := range rows {
			if r.Text.value == "" {
				r.Text.value = "NA"
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
