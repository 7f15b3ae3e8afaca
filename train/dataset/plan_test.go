package dataset

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestGroupByLengthIsTransformers compares with get_length_grouped_indices on the same permutations.
func TestGroupByLengthIsTransformers(t *testing.T) {
	data, err := os.ReadFile("../../testdata/dataset/length_grouped.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			Batch                   int
			Lengths, Order, Grouped []uint32
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) == 0 {
		t.Fatal("no cases")
	}
	for i, c := range golden.Cases {
		groupByLength(c.Order, c.Lengths, c.Batch)
		if !slices.Equal(c.Order, c.Grouped) {
			t.Errorf("case %d (%d rows, batches of %d): order %v, want %v", i, len(c.Lengths), c.Batch, c.Order, c.Grouped)
		}
	}
}

// TestRowLength: a query and a group of passages of the row's average length.
func TestRowLength(t *testing.T) {
	path := write(t, "a.jsonl", jsonl(`{"query": "12345", "pos": ["12"], "neg": ["1234", "123456"]}`))
	tokens := tokenized(t, mustOpen(t, Options{GroupSize: 2}, path))
	if got, want := tokens.rowLengths(8)[0], uint32(7+8*(4+6+8)/3); got != want {
		t.Errorf("length %d, want %d", got, want)
	}
}

// TestGroupByLengthMakesBatchesEven compares the padding of batches with and without.
func TestGroupByLengthMakesBatchesEven(t *testing.T) {
	var b strings.Builder
	for i := range 640 {
		fmt.Fprintf(&b, `{"query": "q", "pos": ["%s"]}`+"\n", strings.Repeat("x", 1+(i*277)%997))
	}
	tokens := tokenized(t, mustOpen(t, Options{GroupSize: 1}, write(t, "a.jsonl", b.String())))
	padding := func(o SamplerOptions) (sum int) {
		o.BatchSize, o.GroupSize, o.Shuffle = 8, 1, true
		for _, batch := range epochOf(t, sampler(t, tokens, o), 0) {
			longest := 0
			for _, g := range batch.Groups {
				longest = max(longest, len(g.Passages[0]))
			}
			for _, g := range batch.Groups {
				sum += longest - len(g.Passages[0])
			}
		}
		return sum
	}
	plain, even := padding(SamplerOptions{}), padding(SamplerOptions{GroupByLength: true})
	if even*5 > plain {
		t.Errorf("padding is %d tokens grouped by length and %d not: want less than a fifth", even, plain)
	}
}
