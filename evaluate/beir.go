package evaluate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// beir is the layout of the BEIR benchmark (Thakur et al. 2021): corpus.jsonl {_id, title,
// text}, queries.jsonl {_id, text}, qrels/<split>.tsv with a header; each also as .gz.
var beir = Layout{
	Name: "beir",
	Doc:  "BEIR (corpus.jsonl, queries.jsonl, qrels/<split>.tsv)",
	Detect: func(dir string) bool {
		_, corpus := existing(dir, "corpus.jsonl")
		return corpus && len(beirSplits(dir)) > 0
	},
	Open: openBEIR,
}

func openBEIR(dir, split string) (*Dataset, error) {
	corpus, err := required(dir, "corpus.jsonl")
	if err != nil {
		return nil, err
	}
	queries, err := required(dir, "queries.jsonl")
	if err != nil {
		return nil, err
	}
	qrels, ok := existing(dir, filepath.Join("qrels", split+".tsv"))
	if !ok {
		return nil, fmt.Errorf("%q has no split %q; it has %s", dir, split, strings.Join(beirSplits(dir), ", "))
	}
	j, err := readBEIRQrels(qrels)
	if err != nil {
		return nil, err
	}
	d := &Dataset{
		Qrels:       j.qrels,
		Documents:   documents(readJSONLines(corpus)),
		CorpusFiles: []string{corpus},
		OtherFiles:  []string{queries, qrels},
		Warnings:    j.warnings(),
	}
	d.Queries, err = selectQueries(readJSONLines(queries), j)
	return d, err
}

// readBEIRQrels reads query-id, corpus-id, score, or TREC's four columns, of which the second means nothing; BEIR's header
// row is left out.
func readBEIRQrels(path string) (*judgments, error) {
	return readTSVJudgments(path, map[int]judgmentColumns{3: {0, 1, 2}, 4: {0, 2, 3}}, "query-id")
}

func beirSplits(dir string) []string {
	entries, err := os.ReadDir(filepath.Join(dir, "qrels"))
	if err != nil {
		return nil
	}
	var splits []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(strings.TrimSuffix(e.Name(), ".gz"), ".tsv"); ok {
			splits = append(splits, name)
		}
	}
	return splits
}
