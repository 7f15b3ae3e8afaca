//go:build !lite

package train

import (
	"encoding/binary"
	"fmt"

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
	queryPad, passagePad int  // tokens that queries and passages are padded to; 0: to the longest of the sub-batch
	apart                bool // equal texts are encoded as often as they occur, so that each draws its own dropout
}

// collect takes the texts out of a batch: its queries and the first passages of each group.
func (o batching) collect(b dataset.Batch, passages int) (*batchTexts, error) {
	t := &batchTexts{group: passages}
	known := make(map[string]int64)
	add := func(ids []int32, pad int) int64 {
		key := textKey(ids, pad)
		if n, ok := known[key]; ok && !o.apart {
			return n
		}
		n := int64(len(t.texts))
		known[key] = n
		t.texts = append(t.texts, text{ids, pad})
		return n
	}
	for _, g := range b.Groups {
		t.queries = append(t.queries, add(g.Query, o.queryPad))
	}
	t.first = len(t.texts)
	for _, g := range b.Groups {
		if len(g.Passages) < passages {
			return nil, fmt.Errorf("row %d has %d passages, want %d", g.Row+1, len(g.Passages), passages)
		}
		for _, p := range g.Passages[:passages] {
			t.passages = append(t.passages, add(p, o.passagePad))
		}
	}
	return t, nil
}

// textKey tells texts apart by what the model sees of them.
func textKey(ids []int32, pad int) string {
	key := binary.AppendUvarint(make([]byte, 0, 4*len(ids)+4), uint64(pad))
	for _, id := range ids {
		key = binary.LittleEndian.AppendUint32(key, uint32(id))
	}
	return string(key)
}

// split cuts the texts into sub-batches. Without limits the queries run in one and the passages in another, in the order
// of the batch, as other trainers do it.
func (o batching) split(t *batchTexts) []subBatch {
	if o.tokens > 0 || o.texts > 0 {
		return split(t.texts, o.limits)
	}
	var out []subBatch
	for _, r := range [][2]int{{0, t.first}, {t.first, len(t.texts)}} {
		var b subBatch
		for n := r[0]; n < r[1]; n++ {
			b.texts = append(b.texts, n)
			b.length = max(b.length, t.texts[n].length())
		}
		if len(b.texts) > 0 {
			out = append(out, b)
		}
	}
	return out
}
