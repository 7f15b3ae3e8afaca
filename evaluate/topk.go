package evaluate

import "cmp"

// idTable holds document ids by their position in the corpus, packed: some twenty bytes a
// document for ids of ten.
type idTable struct {
	text  []byte
	ends  []uint64
	slots []uint32 // open addressing: position+1, 0 where free
}

// position is a document's place in the corpus, from 0.
type position = uint32

func (t *idTable) len() int { return len(t.ends) }

func (t *idTable) id(p position) string { return string(t.bytes(p)) }

func (t *idTable) bytes(p position) []byte {
	start := uint64(0)
	if p > 0 {
		start = t.ends[p-1]
	}
	return t.text[start:t.ends[p]]
}

// add appends an id and returns its position; if it is there already, found is true and
// p is where.
func (t *idTable) add(id string) (p position, found bool) {
	if 2*(len(t.ends)+1) > len(t.slots) {
		t.grow()
	}
	slot := t.slot(id)
	if t.slots[slot] != 0 {
		return t.slots[slot] - 1, true
	}
	t.text = append(t.text, id...)
	t.ends = append(t.ends, uint64(len(t.text)))
	t.slots[slot] = uint32(len(t.ends))
	return position(len(t.ends) - 1), false
}

// find returns the position of an id.
func (t *idTable) find(id string) (p position, found bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	s := t.slots[t.slot(id)]
	return s - 1, s != 0
}

// slot is where an id stands or would stand.
func (t *idTable) slot(id string) int {
	h := uint64(14695981039346656037) // FNV-1a, then mixed: the low bits choose the slot
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h ^= h >> 29
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		if s := t.slots[i]; s == 0 || string(t.bytes(s-1)) == id {
			return int(i)
		}
	}
}

func (t *idTable) grow() {
	t.slots = make([]uint32, max(1024, 2*len(t.slots)))
	for p := range t.ends {
		t.slots[t.slot(t.id(position(p)))] = uint32(p + 1)
	}
}

// topK keeps the best k documents of one query as a binary heap with the worst on top.
// Documents rank by score, equal ones by id descending, as trec_eval ranks them.
type topK struct {
	scores    []float32
	documents []position
}

// before says whether document (s, d) ranks before (t, e).
func before(s float32, d position, t float32, e position, ids *idTable) bool {
	if s != t {
		return s > t
	}
	return cmp.Compare(string(ids.bytes(d)), string(ids.bytes(e))) > 0
}

// update offers a row of scores, of the documents from first on. Once the heap is full,
// nearly all scores lie below its worst, and one comparison settles them.
func (h *topK) update(k int, row []float32, first position, ids *idTable) {
	i := 0
	for ; i < len(row) && len(h.scores) < k; i++ {
		h.push(row[i], first+position(i), ids)
	}
	if i == len(row) {
		return
	}
	worst := h.scores[0]
	for ; i+8 <= len(row); i += 8 {
		s := row[i : i+8 : i+8]
		if s[0] < worst && s[1] < worst && s[2] < worst && s[3] < worst &&
			s[4] < worst && s[5] < worst && s[6] < worst && s[7] < worst {
			continue
		}
		for j, score := range s {
			h.offer(score, first+position(i+j), ids)
		}
		worst = h.scores[0]
	}
	for ; i < len(row); i++ {
		h.offer(row[i], first+position(i), ids)
	}
}

// offer replaces the worst of a full heap by a document that ranks before it.
func (h *topK) offer(score float32, d position, ids *idTable) {
	if score < h.scores[0] || !before(score, d, h.scores[0], h.documents[0], ids) {
		return
	}
	h.scores[0], h.documents[0] = score, d
	for i := 0; ; {
		worst := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h.scores); c++ {
			if before(h.scores[worst], h.documents[worst], h.scores[c], h.documents[c], ids) {
				worst = c
			}
		}
		if worst == i {
			return
		}
		h.swap(i, worst)
		i = worst
	}
}

// push adds to a heap that is not full.
func (h *topK) push(score float32, d position, ids *idTable) {
	h.scores, h.documents = append(h.scores, score), append(h.documents, d)
	for i := len(h.scores) - 1; i > 0; {
		parent := (i - 1) / 2
		if !before(h.scores[parent], h.documents[parent], h.scores[i], h.documents[i], ids) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *topK) swap(i, j int) {
	h.scores[i], h.scores[j] = h.scores[j], h.scores[i]
	h.documents[i], h.documents[j] = h.documents[j], h.documents[i]
}
