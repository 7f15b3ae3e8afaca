package evaluate

// msMarco is the layout of MS MARCO's passage ranking files: collection.tsv (pid, text; or
// pid, title, text), queries.<split>.tsv (qid, text), qrels.<split>.tsv (qid, 0, pid,
// grade), without headers. For the split dev, dev.small is preferred: the 6,980
// queries that everyone reports on, where qrels.dev.tsv has 55,578.
var msMarco = Layout{
	Name: "msmarco",
	Doc:  "MS MARCO (collection.tsv, queries.<split>.tsv, qrels.<split>.tsv)",
	Detect: func(dir string) bool {
		_, ok := existing(dir, "collection.tsv")
		return ok
	},
	Open: openMSMARCO,
}

func openMSMARCO(dir, split string) (*Dataset, error) {
	corpus, err := required(dir, "collection.tsv")
	if err != nil {
		return nil, err
	}
	queries, err := required(dir, "queries."+split+".small.tsv", "queries."+split+".tsv")
	if err != nil {
		return nil, err
	}
	qrels, err := required(dir, "qrels."+split+".small.tsv", "qrels."+split+".tsv")
	if err != nil {
		return nil, err
	}
	j, err := readTSVJudgments(qrels, map[int]judgmentColumns{4: {0, 2, 3}}, "qid")
	if err != nil {
		return nil, err
	}
	d := &Dataset{
		Qrels:       j.qrels,
		Documents:   documents(readTSVRecords(corpus, "pid", "docid")),
		CorpusFiles: []string{corpus},
		OtherFiles:  []string{queries, qrels},
		Warnings:    j.warnings(),
	}
	d.Queries, err = selectQueries(readTSVRecords(queries, "qid"), j)
	return d, err
}
