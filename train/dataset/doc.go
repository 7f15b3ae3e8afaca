// Package dataset reads the training data of text-embedding models and makes batches of it. It knows nothing of
// models: texts come in as JSON lines, are tokenized once through a function of the caller's, and go out as batches
// of token ids.
//
//	Open        every line of every file is checked; an error names the lines    (open.go files.go lines.go parallel.go row.go)
//	Pretokenize token ids and hashes of all texts, in a file that is mapped into
//	            memory and found again by the next run                            (pretokenize.go writecache.go format.go tokens.go)
//	NewSampler  the order of an epoch's rows, cut into batches                    (sampler.go plan.go duplicates.go)
//	Teach       a teacher's vectors of all texts, kept the same way               (teach.go vectors.go)
//	Batch       rows with their sampled passages                                  (batch.go group.go)
//
// # Rows
//
// A row is one JSON object on one line: a query, passages that answer it and passages that do not.
//
//	{"query": "…", "pos": ["…", …], "neg": ["…", …], "pos_scores": [1.5, …], "neg_scores": [0.2, …], "prompt": "…", "type": "…"}
//
// query and pos are required. The scores are a teacher's, one a passage, and are needed for distillation alone. prompt
// replaces the query instruction for this row; type is read and not used. Other fields are ignored. This is the format
// of FlagEmbedding, of which PaddleNLP's is a subset. A file whose name, extensions aside, or whose folder's name ends
// in no_in_batch_neg has rows that take negatives from their own group alone, as in FlagEmbedding.
//
// For learning from a teacher's vectors alone, a row may be a text: {"text": "…"}, or a line of a .txt file. A "title", as
// in BEIR's corpora, goes before the text.
//
// # How batches are derived
//
// A batch is a function of the data, the options and (seed, epoch, index) alone: not of the batches asked for before,
// of the number of goroutines that ask, or of the process. So a resumed run goes on with the very batches that an
// uninterrupted one would have had. All randomness is ChaCha8 (math/rand/v2) under the SHA-256 of its purpose and
// numbers, see random.go:
//
//	rows of a file kept where it has too many    (seed, number of the file)
//	order of an epoch's rows                     (seed, epoch)
//	order of an epoch's batches, one source each (seed, epoch)
//	passages of a row                            (seed, epoch, row)
//
// The passages of a row do not depend on the batch that it falls into, so the batch's size, and how many processes share
// it, change no group.
package dataset
