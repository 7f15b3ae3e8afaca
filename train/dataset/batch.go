package dataset

// Batch is the rows of one step on one rank.
type Batch struct {
	Epoch, Index int
	Groups       []Group // as many as the batch size, fewer in an incomplete batch; all with equally many passages
}

// Group is a row as it is trained on: its query, one of its positives and some of its negatives, as token ids with
// special tokens, truncated, not padded. Token ids lie in the mapped cache: they must not be written to, and live until
// Tokens.Close.
type Group struct {
	Row       int  // number of the row, from 0
	Source    int  // number of its file in Tokens.Sources
	OwnGroup  bool // its negatives are those of its own group alone
	Query     []int32
	QueryHash uint64

	Passages      [][]int32 // the positive, then the negatives
	PassageHashes []uint64  // of each of Passages
	TeacherScores []float32 // of each of Passages; nil where the row has none
	Text          bool      // the row is a text alone: Query is Passages[0]

	// What a teacher makes of the texts, after Set.Teach; else nil. They lie in a mapped file as well.
	TeacherQuery    []float32
	TeacherPassages [][]float32

	// KnownPositives are the hashes of all positives of this query in the whole data set, on whatever line, each once:
	// a passage with one of these hashes is no negative of this query.
	KnownPositives []uint64
}

// Hashes are of a text as it is tokenized, with its instruction: equal texts have equal hashes, wherever they occur.
// They are the first 64 bits of SHA-256, so two different texts of ten million share one with a chance of 3e-6.
