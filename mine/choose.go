package mine

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"graft/evaluate"
)

// Range is the ranks First to End-1 of a search, counted from 0; FlagEmbedding writes it FIRST-END. A query's own
// positives take up places in it, as there.
type Range struct{ First, End int }

// ParseRange reads FIRST-END.
func ParseRange(text string) (Range, error) {
	var r Range
	if _, err := fmt.Sscanf(text, "%d-%d", &r.First, &r.End); err != nil || r.First < 0 || r.String() != text {
		return Range{}, fmt.Errorf("%q is not FIRST-END", text)
	}
	return r, nil
}

func (r *Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.End) }

// Limits bound the score of a negative; those that are nil bound nothing. A candidate that scores nearly as much as a
// positive is often one itself. With several positives the least of their scores counts.
type Limits struct {
	Margin         *float64 // keeps score ≤ positive - Margin
	RelativeMargin *float64 // keeps score ≤ positive - RelativeMargin·|positive|: NV-Retriever's TopK-PercPos (Moreira et al. 2024)
	Max, Min       *float64 // keep Min ≤ score ≤ Max
}

// refusals are the reasons to leave a candidate out, in the order in which they are tried.
var refusals = []struct {
	reason string
	refuse func(l *Limits, score, positive float64) bool
}{
	{"margin", func(l *Limits, s, p float64) bool { return l.Margin != nil && s > p-*l.Margin }},
	{"relative_margin", func(l *Limits, s, p float64) bool {
		return l.RelativeMargin != nil && s > p-*l.RelativeMargin*math.Abs(p)
	}},
	{"max_score", func(l *Limits, s, _ float64) bool { return l.Max != nil && s > *l.Max }},
	{"min_score", func(l *Limits, s, _ float64) bool { return l.Min != nil && s < *l.Min }},
}

// known is the reason to leave out a positive of the query, and the query itself.
const known = "known"

// Reasons say what stands in Report.Refused.
var Reasons = map[string]string{
	known:             "positives of the query, or the query itself",
	"margin":          "less than the margin below the positive",
	"relative_margin": "less than the relative margin below the positive",
	"max_score":       "above the greatest score",
	"min_score":       "below the least score",
}

// refused is the reason to leave a candidate out; "" where there is none.
func (l *Limits) refused(score, positive float64) string {
	for _, r := range refusals {
		if r.refuse(l, score, positive) {
			return r.reason
		}
	}
	return ""
}

// choose draws the negatives of every question from its ranking.
func (o *Options) choose(q *questions, rankings iter.Seq[evaluate.Ranking], r *Report) {
	positives, negatives, n := 0.0, 0.0, 0
	i := 0
	for ranking := range rankings {
		question := &q.all[i]
		least := question.leastPositive()
		question.negative = o.draw(i, o.qualified(question, ranking.Hits, least, r.Refused))
		positives += least
		for _, s := range question.negative {
			negatives += float64(s.score)
			n++
		}
		i++
	}
	r.PositiveScore = positives / float64(max(len(q.all), 1))
	r.NegativeScore = negatives / float64(max(n, 1))
}

// leastPositive is the least score of a positive.
func (q *question) leastPositive() float64 {
	return float64(slices.MinFunc(q.positive, func(a, b scored) int {
		if a.score < b.score {
			return -1
		}
		return 1
	}).score)
}

// qualified are the candidates in the range of ranks that are neither known as positives, nor the query itself, nor beyond
// the limits, nearest first.
func (o *Options) qualified(q *question, hits []evaluate.Hit, least float64, refused map[string]int) []scored {
	var list []scored
	for _, hit := range hits[min(o.Ranks.First, len(hits)):min(o.Ranks.End, len(hits))] {
		at, _ := strconv.Atoi(hit.Document) // pool.documents wrote it
		reason := o.Limits.refused(hit.Score, least)
		if slices.Contains(q.excluded, position(at)) {
			reason = known
		}
		if reason != "" {
			refused[reason]++
			continue
		}
		list = append(list, scored{position(at), float32(hit.Score)})
	}
	return list
}

// draw takes the negatives of a question from those that qualify. They stay in their order, nearest first.
func (o *Options) draw(question int, list []scored) []scored {
	if len(list) <= o.Negatives {
		return list
	}
	if o.Sampling == Top {
		return slices.Clip(list[:o.Negatives])
	}
	random := rand.New(rand.NewPCG(o.Seed, uint64(question)))
	chosen := random.Perm(len(list))[:o.Negatives]
	slices.Sort(chosen)
	drawn := make([]scored, len(chosen))
	for i, k := range chosen {
		drawn[i] = list[k]
	}
	return drawn
}
