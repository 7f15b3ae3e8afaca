package evaluate

import (
	"cmp"
	"strings"
)

// Qrels holds relevance judgments: query id to document id to grade. A grade of 1 or
// more is relevant; 0 and negative grades are judged not relevant.
type Qrels map[string]map[string]int

// Hit is one retrieved document.
type Hit struct {
	Document string
	Score    float64
}

// Ranking is what was retrieved for one query. A run, in TREC's sense, is a sequence of
// them, in the order of the queries.
type Ranking struct {
	Query string
	Hits  []Hit
}

// compareHits orders hits best first as trec_eval does: scores compared as float32,
// equal ones by document id descending, bytewise (trec_eval 9, form_res_rels.c).
func compareHits(a, b Hit) int {
	if c := cmp.Compare(float32(b.Score), float32(a.Score)); c != 0 {
		return c
	}
	return strings.Compare(b.Document, a.Document)
}

// compareHitsByDouble orders hits as mteb's MRR does: scores compared as doubles.
func compareHitsByDouble(a, b Hit) int {
	if c := cmp.Compare(b.Score, a.Score); c != 0 {
		return c
	}
	return strings.Compare(b.Document, a.Document)
}
