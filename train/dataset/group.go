package dataset

import "math"

// sample chooses the passages of a row in an epoch, as indexes into content.passages: one of its positives, and
// size-1 of its negatives, without replacement. Where there are fewer negatives, all of them are repeated as often as
// needed before the choice, as in FlagEmbedding and PaddleNLP.
func (c *content) sample(seed int64, epoch int, row uint32, size int) []uint64 {
	r := &c.rows[row]
	random := random(sampleGroup, seed, epoch, int(row))
	chosen := make([]uint64, 1, size)
	chosen[0] = r.Passages + uint64(random.IntN(int(r.Pos)))
	want, n := size-1, int(r.Neg)
	if want == 0 {
		return chosen
	}
	copies := (want + n - 1) / n
	pool := make([]uint64, n*copies)
	for i := range pool {
		pool[i] = r.Passages + uint64(r.Pos) + uint64(i%n)
	}
	for i := range want { // Fisher and Yates's shuffle, as far as it is needed
		j := i + random.IntN(len(pool)-i)
		pool[i], pool[j] = pool[j], pool[i]
		chosen = append(chosen, pool[i])
	}
	return chosen
}

// group makes a group of a row and its chosen passages.
func (t *Tokens) group(row uint32, chosen []uint64) Group {
	r := &t.rows[row]
	g := Group{
		Row: int(row), Source: int(r.Source), OwnGroup: t.Sources[r.Source].OwnGroup,
		Query: t.text(r.Query), QueryHash: t.texts[r.Query].Hash,
		Passages: make([][]int32, len(chosen)), PassageHashes: make([]uint64, len(chosen)),
		KnownPositives: t.knownPositives(row),
		Text:           r.Query == t.passages[chosen[0]], // a passage's number, which no query has
	}
	for i, passage := range chosen {
		text := t.passages[passage]
		g.Passages[i], g.PassageHashes[i] = t.text(text), t.texts[text].Hash
	}
	if t.teacher != nil {
		g.TeacherQuery = t.teacher.row(r.Query)
		for _, passage := range chosen {
			g.TeacherPassages = append(g.TeacherPassages, t.teacher.row(t.passages[passage]))
		}
	}
	if len(t.scores) > 0 && !math.IsNaN(float64(t.scores[chosen[0]])) {
		g.TeacherScores = make([]float32, len(chosen))
		for i, passage := range chosen {
			g.TeacherScores[i] = t.scores[passage]
		}
	}
	return g
}
