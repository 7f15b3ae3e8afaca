package dataset

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// repeating is a file of n rows that draw their texts from a few; row i's query is one of queries, its passages are of
// passages.
func repeating(t testing.TB, n, queries, passages int) string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var b strings.Builder
	for range n {
		p := r.Perm(passages)
		fmt.Fprintf(&b, `{"query": "t%d", "pos": ["t%d", "t%d"], "neg": ["t%d", "t%d"]}`+"\n", passages-1+r.IntN(queries), p[0], p[1], p[2], p[3])
	}
	return write(t, "repeating.jsonl", b.String())
}

// checkNoDuplicates checks that no two rows of a batch share a text, also not one's query and the other's passage.
func checkNoDuplicates(t *testing.T, b Batch) {
	t.Helper()
	owner := map[uint64]int{}
	for i, g := range b.Groups {
		for _, hash := range append([]uint64{g.QueryHash}, g.PassageHashes...) {
			if first, ok := owner[hash]; ok && first != i {
				t.Errorf("batch %d: rows %d and %d share a text", b.Index, b.Groups[first].Row, g.Row)
			}
			owner[hash] = i
		}
	}
}

func TestNoDuplicates(t *testing.T) {
	tests := []struct {
		rows, queries, passages int
		mostBatches             int // of 8 rows
	}{
		{400, 1000, 2000, 51}, // few repeat: one batch more than the least
		{400, 60, 200, 60},
		{400, 5, 2000, 120}, // every query 80 times: 80 batches are the least
		{50, 1, 100, 50},    // one query: batches of one row
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d rows, %d queries, %d passages", test.rows, test.queries, test.passages), func(t *testing.T) {
			tokens := tokenized(t, mustOpen(t, Options{GroupSize: 3}, repeating(t, test.rows, test.queries, test.passages)))
			s := sampler(t, tokens, SamplerOptions{BatchSize: 8, GroupSize: 3, Shuffle: true, NoDuplicates: true})
			for epoch := range 3 {
				seen := map[int]bool{}
				short := 0
				for _, b := range epochOf(t, s, epoch) {
					checkNoDuplicates(t, b)
					if len(b.Groups) < 8 {
						short++
					}
					for _, g := range b.Groups {
						seen[g.Row] = true
					}
				}
				e := s.Epoch(epoch)
				if len(seen) != test.rows || e.Rows != test.rows {
					t.Errorf("epoch %d has %d rows and says %d, want %d", epoch, len(seen), e.Rows, test.rows)
				}
				if e.Incomplete != short {
					t.Errorf("epoch %d has %d short batches and says %d", epoch, short, e.Incomplete)
				}
				if e.Batches > test.mostBatches {
					t.Errorf("epoch %d has %d batches, want at most %d", epoch, e.Batches, test.mostBatches)
				}
			}
		})
	}
}

// TestNoDuplicatesAcrossRanks: a text is once in the batches of all ranks together.
func TestNoDuplicatesAcrossRanks(t *testing.T) {
	tokens := tokenized(t, mustOpen(t, Options{GroupSize: 3}, repeating(t, 300, 60, 200)))
	var ranks []*Sampler
	for rank := range 2 {
		ranks = append(ranks, sampler(t, tokens, SamplerOptions{BatchSize: 4, GroupSize: 3, Shuffle: true, NoDuplicates: true, Rank: rank, World: 2}))
	}
	for i := range ranks[0].Batches(0) {
		var whole Batch
		for _, rank := range ranks {
			b, err := rank.Batch(0, i)
			if err != nil {
				t.Fatal(err)
			}
			whole.Index = b.Index
			whole.Groups = append(whole.Groups, b.Groups...)
		}
		checkNoDuplicates(t, whole)
	}
}

// TestNoDuplicatesChangesNothing where no text repeats.
func TestNoDuplicatesChangesNothing(t *testing.T) {
	tokens := mixed(t)
	o := SamplerOptions{BatchSize: 8, GroupSize: 2, Shuffle: true}
	plain := rowsOf(t, sampler(t, tokens, o), 0)
	o.NoDuplicates = true
	if apart := rowsOf(t, sampler(t, tokens, o), 0); fmt.Sprint(apart) != fmt.Sprint(plain) {
		t.Errorf("rows are %v, want %v", apart, plain)
	}
}
