package evaluate

import (
	"iter"
	"math"
	"slices"
	"strconv"
)

// Cutoffs are the ranks k at which every metric is reported, as in mteb.
var Cutoffs = []int{1, 3, 5, 10, 20, 100, 1000}

// Metric is one measure of the result file. Exactly one of Value and Across is set.
type Metric struct {
	Name string // the stem of its keys: "ndcg" gives ndcg_at_1 … ndcg_at_1000
	Doc  string
	// Value is the metric of one query at cutoff k, in 0..1.
	Value func(j *Judged, k int) float64
	// Plain marks a metric that is reported once, at k = 1, under its bare name.
	Plain bool
	// Unrounded marks a metric whose mean mteb does not round to five digits
	// before it rounds every figure of the file to six.
	Unrounded bool
	// Abstention marks a metric for which nAUC is reported too.
	Abstention bool
	// Across computes figures over all queries from the values of the other metrics.
	Across func(t *Table) []Score
}

// Metrics lists the metrics in the order of their keys in mteb's files.
// Left out because mteb does not report them either: capped recall, hole, top-k accuracy.
var Metrics = []*Metric{ndcg, averagePrecision, recall, accuracy, precision, reciprocalRank, nauc, hitRate}

// Score is one named figure; a figure that is undefined (nAUC of a constant metric) is NaN.
type Score struct {
	Key   string
	Value float64
}

// Judged is one query's ranking seen through its judgments.
type Judged struct {
	Query string
	// Grades holds the judgment of each hit in ranking order (float32 score, then
	// document id, both descending); unjudged hits are 0.
	Grades []int
	// GradesByDouble is the same in the order that mteb's MRR uses: scores
	// compared as doubles. It differs from Grades only where scores tie in float32.
	GradesByDouble []int
	// Ideal holds the positive judgments of the query, descending, whether retrieved or not.
	Ideal []int
	// Scores holds the scores of the hits, in the order of the run.
	Scores []float64
}

// Table holds every per-query value: Values[m][q][c] is the value of the m-th metric
// that has per-query values, for query q at Cutoffs[c] (only c = 0 for a plain one).
type Table struct {
	Queries     []string
	Metrics     []*Metric
	Values      [][][]float64
	confidences [][]float64 // by kind (abstentionConfidences), then query
}

// ScoreRun judges a run. Queries that are in only one of the run and the judgments
// are left out, as in trec_eval; a query whose judgments are all zero or negative
// counts as 0. With ignoreIdenticalIDs, hits whose document id is the query's id
// are dropped first. The run is read once, ranking by ranking.
func ScoreRun(run iter.Seq[Ranking], qrels Qrels, ignoreIdenticalIDs bool) *Table {
	t := &Table{confidences: make([][]float64, len(abstentionConfidences))}
	for _, m := range Metrics {
		if m.Value != nil {
			t.Metrics = append(t.Metrics, m)
		}
	}
	t.Values = make([][][]float64, len(t.Metrics))
	for ranking := range run {
		if judgments, ok := qrels[ranking.Query]; ok {
			t.add(judge(ranking, judgments, ignoreIdenticalIDs))
		}
	}
	return t
}

// add computes the values of one query.
func (t *Table) add(j *Judged) {
	t.Queries = append(t.Queries, j.Query)
	for i, m := range t.Metrics {
		var values []float64
		for _, k := range m.cutoffs() {
			values = append(values, m.Value(j, k))
		}
		t.Values[i] = append(t.Values[i], values)
	}
	for i, c := range abstentionConfidences {
		t.confidences[i] = append(t.confidences[i], c.of(j.Scores))
	}
}

// judge orders a query's hits both ways and looks their grades up.
func judge(r Ranking, judgments map[string]int, ignoreIdenticalIDs bool) *Judged {
	hits := slices.Clone(r.Hits)
	if ignoreIdenticalIDs {
		hits = slices.DeleteFunc(hits, func(h Hit) bool { return h.Document == r.Query })
	}
	j := &Judged{Query: r.Query}
	for _, h := range hits {
		j.Scores = append(j.Scores, h.Score)
	}
	slices.SortFunc(hits, compareHits)
	for _, h := range hits {
		j.Grades = append(j.Grades, judgments[h.Document])
	}
	slices.SortFunc(hits, compareHitsByDouble)
	for _, h := range hits {
		j.GradesByDouble = append(j.GradesByDouble, judgments[h.Document])
	}
	for _, grade := range judgments {
		if grade > 0 {
			j.Ideal = append(j.Ideal, grade)
		}
	}
	slices.SortFunc(j.Ideal, func(a, b int) int { return b - a })
	return j
}

// cutoffs returns the ranks at which the metric is reported.
func (m *Metric) cutoffs() []int {
	if m.Plain {
		return Cutoffs[:1]
	}
	return Cutoffs
}

// key returns the result file's key of the metric at cutoff k.
func (m *Metric) key(k int) string {
	if m.Plain {
		return m.Name
	}
	return m.Name + "_at_" + strconv.Itoa(k)
}

// column returns one figure of every query: values of metric m at Cutoffs[c].
func (t *Table) column(m, c int) []float64 {
	column := make([]float64, len(t.Queries))
	for q := range column {
		column[q] = t.Values[m][q][c]
	}
	return column
}

// Scores returns the figures over all queries under mteb's keys and in mteb's order,
// rounded as mteb rounds them: most means to five digits, then everything to six.
func (t *Table) Scores() []Score {
	var scores []Score
	i := 0
	for _, m := range Metrics {
		if m.Across != nil {
			scores = append(scores, m.Across(t)...)
			continue
		}
		for c, k := range m.cutoffs() {
			mean := math.NaN()
			if n := len(t.Queries); n > 0 {
				mean = compensatedSum(t.column(i, c)) / float64(n)
			}
			if !m.Unrounded {
				mean = round(mean, 5)
			}
			scores = append(scores, Score{m.key(k), mean})
		}
		i++
	}
	for i := range scores {
		scores[i].Value = round(scores[i].Value, 6)
	}
	return scores
}

// ScoreKeys lists the keys that every result has.
func ScoreKeys() []string {
	one := Ranking{"q", []Hit{{"d", 1}}}
	keys := []string{mainScoreKey}
	for _, s := range ScoreRun(slices.Values([]Ranking{one}), Qrels{"q": {"d": 1}}, false).Scores() {
		keys = append(keys, s.Key)
	}
	return keys
}

// mainScoreKey stands for whichever score a task is ranked by.
const mainScoreKey = "main_score"

// round rounds to the given number of decimals as Python's round does: correctly, on
// the binary value. Infinities and NaN are returned as they are.
func round(x float64, digits int) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	r, err := strconv.ParseFloat(strconv.FormatFloat(x, 'f', digits, 64), 64)
	if err != nil {
		return x
	}
	return r
}

// compensatedSum adds as Python's sum does since 3.12 (Neumaier), so that a mean
// falls on the same side of a rounding boundary.
func compensatedSum(values []float64) float64 {
	sum, lost := 0.0, 0.0
	for _, v := range values {
		t := sum + v
		if math.Abs(sum) >= math.Abs(v) {
			lost += (sum - t) + v
		} else {
			lost += (v - t) + sum
		}
		sum = t
	}
	return sum + lost
}
