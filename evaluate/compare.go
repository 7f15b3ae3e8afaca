package evaluate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"graft/lines"
)

// PerQuery holds one figure per query, as read from a per-query file.
type PerQuery struct {
	Key    string // "ndcg_at_10"
	Values map[string]float64
}

// ReadPerQuery reads one column of a file that Table.WriteTSV wrote.
func ReadPerQuery(path, key string) (*PerQuery, error) {
	p := &PerQuery{key, map[string]float64{}}
	column := -1
	for row, err := range readTSV(path) {
		if err != nil {
			return nil, fmt.Errorf("read per-query values: %w", err)
		}
		if column < 0 {
			if column = slices.Index(row.fields, key); column < 1 {
				return nil, fmt.Errorf("read per-query values: %q has no column %q", path, key)
			}
			continue
		}
		if len(row.fields) <= column {
			return nil, fmt.Errorf("read per-query values: %w", lines.At(path, row.line, fmt.Errorf("%d fields", len(row.fields))))
		}
		v, err := strconv.ParseFloat(row.fields[column], 64)
		if err != nil {
			return nil, fmt.Errorf("read per-query values: %w", lines.At(path, row.line, err))
		}
		p.Values[row.fields[0]] = v
	}
	return p, nil
}

// Comparison says how a figure of one run differs from that of another over the same
// queries: paired, so that hard and easy queries cancel out.
type Comparison struct {
	Queries          int
	MeanA, MeanB     float64
	Difference       float64 // MeanB - MeanA
	Low, High        float64 // 95% bootstrap confidence interval of Difference
	Better, Worse    int     // queries on which B is better, worse
	SignificantAt005 bool    // the interval leaves out zero
}

// Compare compares b with a by a percentile bootstrap over the queries (Sakai 2006),
// 10,000 samples from a fixed seed. Both must hold the same queries.
func Compare(a, b *PerQuery) (Comparison, error) {
	if a.Key != b.Key || len(a.Values) != len(b.Values) || len(a.Values) == 0 {
		return Comparison{}, fmt.Errorf("compare: %s of %d queries with %s of %d", a.Key, len(a.Values), b.Key, len(b.Values))
	}
	queries := make([]string, 0, len(a.Values))
	for q := range a.Values {
		if _, ok := b.Values[q]; !ok {
			return Comparison{}, fmt.Errorf("compare: query %q is in one run only", q)
		}
		queries = append(queries, q)
	}
	slices.Sort(queries)
	c := Comparison{Queries: len(queries)}
	n := float64(len(queries))
	differences := make([]float64, len(queries))
	for i, q := range queries {
		d := b.Values[q] - a.Values[q]
		differences[i] = d
		c.MeanA += a.Values[q] / n
		c.MeanB += b.Values[q] / n
		c.Difference += d / n
		if d > 0 {
			c.Better++
		} else if d < 0 {
			c.Worse++
		}
	}
	c.Low, c.High = bootstrapInterval(differences)
	c.SignificantAt005 = c.Low > 0 || c.High < 0
	return c, nil
}

// bootstrapInterval returns the 2.5% and 97.5% quantiles of the mean over samples drawn
// with replacement.
func bootstrapInterval(values []float64) (low, high float64) {
	const samples = 10000
	r := rand.New(rand.NewPCG(20260101, 95))
	means := make([]float64, samples)
	for s := range means {
		sum := 0.0
		for range values {
			sum += values[r.IntN(len(values))]
		}
		means[s] = sum / float64(len(values))
	}
	slices.Sort(means)
	return means[samples*25/1000], means[samples*975/1000-1]
}
