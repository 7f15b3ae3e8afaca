package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// drawnEncoder draws a vector for each text.
type drawnEncoder struct{}

func (drawnEncoder) Encode(_ context.Context, texts []string, _ Role, done func(int)) (Matrix, error) {
	m := Matrix{Rows: len(texts), Dim: 8}
	for _, text := range texts {
		seed := uint64(7)
		for _, c := range text {
			seed = seed*31 + uint64(c)
		}
		m.Data = append(m.Data, randomMatrix(rand.New(rand.NewPCG(seed, 1)), 1, 8).Data...)
	}
	done(len(texts))
	return m, nil
}

// TestSearch compares rankings with sorting all scores, where some documents are shown and not ranked.
func TestSearch(t *testing.T) {
	const candidates, all = 5000, 5100 // more than two chunks
	o := SearchOptions{
		Queries: []Query{{"a", "one"}, {"b", "two"}, {"c", "one"}}, Candidates: candidates, DocumentCount: all,
		Documents: func(yield func(Document, error) bool) {
			for i := range all {
				if !yield(Document{ID: fmt.Sprint(i), Text: fmt.Sprintf("document %d", i)}, nil) {
					return
				}
			}
		},
		Encoder: drawnEncoder{}, Similarity: "cosine", TopK: 100, MemoryBudget: 64 << 20,
	}
	scores := [3][]float32{}
	o.Seen = func(first int, documents, queries Matrix) error {
		if first != len(scores[0]) {
			return fmt.Errorf("first is %d after %d documents", first, len(scores[0]))
		}
		block := make([]float32, queries.Rows*documents.Rows)
		if err := (GoScorer{}).Score(t.Context(), queries, documents, block); err != nil {
			return err
		}
		for q := range scores {
			scores[q] = append(scores[q], block[q*documents.Rows:(q+1)*documents.Rows]...)
		}
		return nil
	}
	rankings, err := Search(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	q := 0
	for r := range rankings {
		want := make([]Hit, candidates)
		for i := range want {
			want[i] = Hit{fmt.Sprint(i), float64(scores[q][i])}
		}
		slices.SortFunc(want, compareHits)
		if r.Query != o.Queries[q].ID || !slices.Equal(r.Hits, want[:100]) {
			t.Errorf("ranking %d, of %q, is not the best 100 of %d", q, r.Query, candidates)
		}
		q++
	}
	if q != 3 || len(scores[0]) != all {
		t.Errorf("%d rankings, %d documents seen", q, len(scores[0]))
	}
}

func TestReadTexts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "corpus.jsonl")
	text := `{"_id": "1", "title": "Title", "text": "of it"}` + "\n\n" + `{"text": "alone"}` + "\n" + `{"title": "no text"}` + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	var last error
	for text, err := range ReadTexts(path) {
		if last = err; err == nil {
			got = append(got, text)
		}
	}
	if !slices.Equal(got, []string{"Title of it", "alone"}) || last == nil || !strings.HasSuffix(last.Error(), "corpus.jsonl:4: no text") {
		t.Errorf("texts %q, error %v", got, last)
	}
}
