package evaluate

// OpenMSMARCOTitle opens MSMARCO-Title, as the reference evaluates it: the queries and judgments of the split dev of a
// data set of MS MARCO (mteb/msmarco) over passages that have titles (Tevatron/msmarco-passage-corpus, corpus.jsonl.gz:
// docid, title, text), whose ids are the same.
func OpenMSMARCOTitle(msmarco, corpus string) (*Dataset, error) {
	d, err := OpenDataset(msmarco, "dev")
	if err != nil {
		return nil, err
	}
	d.CorpusFiles = []string{corpus}
	d.Documents = documents(readRecords(d.CorpusFiles))
	return d, nil
}
