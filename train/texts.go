//go:build !lite

package train

import (
	"encoding/binary"
	"fmt"
	"slices"

	"graft/train/dataset"
)

// batchTexts are the distinct texts of a batch and where they stand in it.
type batchTexts struct {
	texts    []text
	first    int     // texts before this one are queries
	queries  []int64 // by query, the number of its text
	passages []int64 // by passage: those of a query follow each other, its positive first
	group    int     // passages per query
}

// batching says how a batch's texts come into sub-batches.
type batching struct {
	limits
	parts                int // workers that run sub-batches at the same time; the limits are for all together
	queryPad, passagePad int // tokens that queries and passages are padded to; 0: to the longest of the sub-batch
	queryUnpooled        int // tokens, from a query's first on, that are left out of the pooling: its instruction's
	passageUnpooled      int
	apart                bool // equal texts are encoded as often as they occur, so that each draws its own dropout
}

// collect takes the texts out of a batch: its queries and the first passages of each group.
func (o batching) collect(b dataset.Batch, passages int) (*batchTexts, error) {
	t := &batchTexts{group: passages}
	known := make(map[string]int64)
	add := func(x text) int64 {
		key := textKey(x)
		if n, ok := known[key]; ok && !o.apart {
			return n
		}
		n := int64(len(t.texts))
		known[key] = n
		t.texts = append(t.texts, x)
		return n
	}
	for _, g := range b.Groups {
		if g.Text {
			t.queries = append(t.queries, 0) // its passage's, below
		} else {
			t.queries = append(t.queries, add(text{g.Query, o.queryPad, o.queryUnpooled}))
		}
	}
	t.first = len(t.texts)
	for i, g := range b.Groups {
		if len(g.Passages) < passages {
			return nil, fmt.Errorf("row %d has %d passages, want %d", g.Row+1, len(g.Passages), passages)
		}
		for _, p := range g.Passages[:passages] {
			t.passages = append(t.passages, add(text{p, o.passagePad, o.passageUnpooled}))
		}
		if g.Text {
			t.queries[i] = t.passages[len(t.passages)-1]
		}
	}
	return t, nil
}

// textKey tells texts apart by what the model sees of them.
func textKey(t text) string {
	key := binary.AppendUvarint(make([]byte, 0, 4*len(t.ids)+4), uint64(t.pad))
	key = binary.AppendUvarint(key, uint64(t.unpooled))
	for _, id := range t.ids {
		key = binary.LittleEndian.AppendUint32(key, uint32(id))
	}
	return string(key)
}

// split cuts the texts into sub-batches. Without limits the queries run in one and the passages in another, as other
// trainers do it. Each worker gets as many texts of each length.
func (o batching) split(t *batchTexts) []subBatch {
	ranges := [][2]int{{0, t.first}, {t.first, len(t.texts)}}
	each := limits{tokens: ceilDiv(o.tokens, o.parts), texts: ceilDiv(o.limits.texts, o.parts), start: o.start}
	if o.tokens > 0 || o.limits.texts > 0 {
		ranges = [][2]int{{0, len(t.texts)}}
	} else {
		each.start = wholeBatch
	}
	hands := make([][]subBatch, o.parts)
	for _, r := range ranges {
		for worker, which := range deal(t.texts, r[0], r[1], o.parts) {
			for _, b := range cut(t.texts, which, each) {
				b.worker = worker
				hands[worker] = append(hands[worker], b)
			}
		}
	}
	return slices.Concat(hands...)
}

// wholeBatch is a start of a sub-batch that costs more than any padding.
const wholeBatch = 1 << 40

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// deal sorts the texts from first to end by length and hands them out to workers, back and forth, so that all get as
// much.
func deal(texts []text, first, end, workers int) [][]int {
	hands := make([][]int, workers)
	for i, n := range longestFirst(texts, first, end) {
		at := i % (2 * workers)
		at = min(at, 2*workers-1-at)
		hands[at] = append(hands[at], n)
	}
	return hands
}
