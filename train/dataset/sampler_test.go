package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// grouped is a file of n rows with 2 positives and negatives negatives each; texts name their row.
func grouped(t testing.TB, name string, n, negatives int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		var neg, scores []string
		for j := range negatives {
			neg = append(neg, fmt.Sprintf(`"%s n%d.%d"`, name, i, j))
			scores = append(scores, fmt.Sprint(100+j))
		}
		fmt.Fprintf(&b, `{"query": "%s q%d", "pos": ["%s p%d.0", "%s p%d.1"], "neg": [%s], "pos_scores": [0, 1], "neg_scores": [%s]}`+"\n",
			name, i, name, i, name, i, strings.Join(neg, ", "), strings.Join(scores, ", "))
	}
	return write(t, name+".jsonl", b.String())
}

// everyOrder is the options of a sampler that decide how batches are made.
func everyOrder() []SamplerOptions {
	var all []SamplerOptions
	for bits := range 1 << 4 {
		all = append(all, SamplerOptions{Shuffle: bits&1 != 0, SameSource: bits&2 != 0, GroupByLength: bits&4 != 0, NoDuplicates: bits&8 != 0})
	}
	return all
}

func orderName(o SamplerOptions) string {
	return fmt.Sprintf("shuffle=%t,source=%t,length=%t,duplicates=%t", o.Shuffle, o.SameSource, o.GroupByLength, !o.NoDuplicates)
}

func mixed(t testing.TB) *Tokens {
	return tokenized(t, mustOpen(t, Options{GroupSize: 4}, grouped(t, "a", 41, 3), grouped(t, "longer name", 23, 2), grouped(t, "c_no_in_batch_neg", 9, 7)))
}

// TestEveryRowOnce: whatever the order, an epoch has every row once.
func TestEveryRowOnce(t *testing.T) {
	tokens := mixed(t)
	for _, o := range everyOrder() {
		o.BatchSize, o.GroupSize, o.Seed = 8, 4, 3
		t.Run(orderName(o), func(t *testing.T) {
			s := sampler(t, tokens, o)
			for epoch := range 3 {
				seen := make([]int, tokens.Len())
				incomplete := 0
				for _, b := range epochOf(t, s, epoch) {
					if len(b.Groups) < o.BatchSize {
						incomplete++
					}
					for _, g := range b.Groups {
						seen[g.Row]++
					}
				}
				for row, n := range seen {
					if n != 1 {
						t.Errorf("epoch %d has row %d %d times", epoch, row, n)
					}
				}
				want := Epoch{Batches: 10, Rows: 73, Incomplete: 1}
				if o.SameSource { // 41, 23 and 9 rows
					want = Epoch{Batches: 6 + 3 + 2, Rows: 73, Incomplete: 3}
				}
				if got := s.Epoch(epoch); got != want || incomplete != want.Incomplete {
					t.Errorf("epoch %d is %+v with %d incomplete batches, want %+v", epoch, got, incomplete, want)
				}
			}
		})
	}
}

// TestBatchIsAFunction asks for batches in any order, from several goroutines, and from a sampler that made others
// before: each batch is the one that a fresh sampler makes first.
func TestBatchIsAFunction(t *testing.T) {
	paths := []string{grouped(t, "a", 41, 3), grouped(t, "b", 23, 9)}
	open := func() *Tokens { return tokenized(t, mustOpen(t, Options{GroupSize: 4}, paths...)) }
	used := open()
	for _, o := range everyOrder() {
		o.BatchSize, o.GroupSize, o.Seed = 8, 4, 3
		t.Run(orderName(o), func(t *testing.T) {
			s := sampler(t, used, o)
			type position struct{ epoch, index int }
			var positions []position
			for epoch := range 4 {
				for i := range s.Batches(epoch) {
					positions = append(positions, position{epoch, i})
				}
			}
			rand.Shuffle(len(positions), func(i, j int) { positions[i], positions[j] = positions[j], positions[i] })
			var group sync.WaitGroup
			for worker := range 4 {
				group.Go(func() {
					for i := worker; i < len(positions); i += 4 {
						p := positions[i]
						got, err := s.Batch(p.epoch, p.index)
						if err != nil {
							t.Error(err)
							return
						}
						fresh, err := NewSampler(used, o)
						if err != nil {
							t.Error(err)
							return
						}
						want, err := fresh.Batch(p.epoch, p.index)
						if err != nil {
							t.Error(err)
							return
						}
						if d := cmp.Diff(want, got); d != "" {
							t.Errorf("batch %d of epoch %d differs (-fresh +used):\n%s", p.index, p.epoch, d)
							return
						}
					}
				})
			}
			group.Wait()
		})
	}
	other := open() // read, tokenized and mapped again
	o := SamplerOptions{BatchSize: 8, GroupSize: 4, Seed: 3, Shuffle: true}
	if d := cmp.Diff(epochOf(t, sampler(t, used, o), 1), epochOf(t, sampler(t, other, o), 1)); d != "" {
		t.Errorf("the same data opened again has other batches:\n%s", d)
	}
}

// TestBatchesAreForEver holds what resuming with a later version needs: that the batches of a seed do not change. The
// sums are of this package's own making; they change where the derivation of random numbers changes, which must not be.
func TestBatchesAreForEver(t *testing.T) {
	tokens := mixed(t)
	tests := []struct {
		o    SamplerOptions
		want string
	}{
		{SamplerOptions{Shuffle: true}, "048c809abd8f361c"},
		{SamplerOptions{Shuffle: true, SameSource: true}, "35955a935f10387a"},
		{SamplerOptions{Shuffle: true, GroupByLength: true, NoDuplicates: true}, "031ce2fb23dea305"},
		{SamplerOptions{}, "13be52cb5b041c58"},
	}
	for _, test := range tests {
		o := test.o
		o.BatchSize, o.GroupSize, o.Seed = 8, 4, 42
		h := sha256.New()
		for _, b := range epochOf(t, sampler(t, tokens, o), 2) {
			for _, g := range b.Groups {
				binary.Write(h, binary.LittleEndian, int64(g.Row))
				binary.Write(h, binary.LittleEndian, g.PassageHashes)
				binary.Write(h, binary.LittleEndian, g.TeacherScores)
			}
		}
		if got := hex.EncodeToString(h.Sum(nil)[:8]); got != test.want {
			t.Errorf("%s: batches have the sum %s, want %s", orderName(o), got, test.want)
		}
	}
}

// rowsOf lists the rows of an epoch in its order.
func rowsOf(t testing.TB, s *Sampler, epoch int) []int {
	t.Helper()
	var rows []int
	for _, b := range epochOf(t, s, epoch) {
		for _, g := range b.Groups {
			rows = append(rows, g.Row)
		}
	}
	return rows
}

func TestShuffle(t *testing.T) {
	tokens := tokenized(t, mustOpen(t, Options{GroupSize: 1}, grouped(t, "a", 500, 1)))
	o := SamplerOptions{BatchSize: 8, GroupSize: 1, Shuffle: true}
	s := sampler(t, tokens, o)
	first, second := rowsOf(t, s, 0), rowsOf(t, s, 1)
	o.Seed++
	other := rowsOf(t, sampler(t, tokens, o), 0)
	o.Shuffle = false
	natural := rowsOf(t, sampler(t, tokens, o), 0)
	for name, pair := range map[string][2][]int{"two epochs": {first, second}, "two seeds": {first, other}, "shuffled and not": {first, natural}} {
		same := 0
		for i := range pair[0] {
			if pair[0][i] == pair[1][i] {
				same++
			}
		}
		if same > 10 { // 1 is expected
			t.Errorf("%s have %d of 500 rows in the same place", name, same)
		}
	}
	for i, row := range natural {
		if row != i {
			t.Fatalf("not shuffled, row %d stands in place %d", row, i)
		}
	}
}

func TestSameSource(t *testing.T) {
	tokens := mixed(t)
	s := sampler(t, tokens, SamplerOptions{BatchSize: 4, GroupSize: 4, Shuffle: true, SameSource: true})
	var order []int
	for i, b := range epochOf(t, s, 0) {
		order = append(order, b.Groups[0].Source)
		for _, g := range b.Groups {
			if g.Source != b.Groups[0].Source {
				t.Errorf("batch %d has rows of files %d and %d", i, b.Groups[0].Source, g.Source)
			}
			if g.OwnGroup != (g.Source == 2) {
				t.Errorf("row of file %d: OwnGroup is %t", g.Source, g.OwnGroup)
			}
		}
	}
	changes := 0
	for i := range order[1:] {
		if order[i] != order[i+1] {
			changes++
		}
	}
	if changes < 4 {
		t.Errorf("batches are not shuffled: their files are %v", order)
	}
}

func TestDropLast(t *testing.T) {
	tokens := mixed(t)
	s := sampler(t, tokens, SamplerOptions{BatchSize: 8, GroupSize: 4, Shuffle: true, DropLast: true})
	if got, want := s.Epoch(0), (Epoch{Batches: 9, Rows: 72, Dropped: 1}); got != want {
		t.Errorf("epoch is %+v, want %+v", got, want)
	}
	s = sampler(t, tokens, SamplerOptions{BatchSize: 8, GroupSize: 4, Shuffle: true, DropLast: true, SameSource: true})
	if got, want := s.Epoch(0), (Epoch{Batches: 5 + 2 + 1, Rows: 64, Dropped: 9}); got != want {
		t.Errorf("one source each: epoch is %+v, want %+v", got, want)
	}
}

// TestRanks: the ranks' batches put together are those of one process with the batch size of all.
func TestRanks(t *testing.T) {
	tokens := mixed(t)
	for _, o := range everyOrder() {
		o.GroupSize, o.Seed = 4, 9
		t.Run(orderName(o), func(t *testing.T) {
			whole := o
			whole.BatchSize = 12
			single := sampler(t, tokens, whole)
			var ranks []*Sampler
			for rank := range 3 {
				o.BatchSize, o.Rank, o.World = 4, rank, 3
				ranks = append(ranks, sampler(t, tokens, o))
			}
			e := ranks[0].Epoch(0)
			for i := range e.Batches {
				want, err := single.Batch(0, i)
				if err != nil {
					t.Fatal(err)
				}
				var got []Group
				for _, rank := range ranks {
					b, err := rank.Batch(0, i)
					if err != nil {
						t.Fatal(err)
					}
					if len(b.Groups)*3 != len(want.Groups)/3*3 {
						t.Errorf("batch %d has %d rows on a rank, %d in all", i, len(b.Groups), len(want.Groups))
					}
					got = append(got, b.Groups...)
				}
				if d := cmp.Diff(want.Groups[:len(got)], got); d != "" {
					t.Errorf("batch %d differs (-whole +ranks):\n%s", i, d)
				}
			}
			if e.Rows+e.Dropped != tokens.Len() || e.Rows%3 != 0 {
				t.Errorf("epoch is %+v of %d rows", e, tokens.Len())
			}
		})
	}
}

func TestSamplerRefuses(t *testing.T) {
	path := write(t, "a.jsonl", jsonl(`{"query": "q", "pos": ["p"]}`))
	tokens := tokenized(t, mustOpen(t, Options{GroupSize: 1}, path))
	tests := []struct {
		name string
		o    SamplerOptions
		want string
	}{
		{"batch size", SamplerOptions{GroupSize: 1}, "batch size is 0: it must be 1 or more"},
		{"group size", SamplerOptions{BatchSize: 1}, "group size is 0: it must be 1 or more"},
		{"rank", SamplerOptions{BatchSize: 1, GroupSize: 1, Rank: 2, World: 2}, "rank is 2 of 2"},
		{"negatives", SamplerOptions{BatchSize: 1, GroupSize: 3}, path + ":1: neg is empty, and a group of 3 passages has 2 of it"},
	}
	for _, test := range tests {
		if _, err := NewSampler(tokens, test.o); err == nil || err.Error() != test.want {
			t.Errorf("%s: error %v, want %s", test.name, err, test.want)
		}
	}
	s := sampler(t, tokens, SamplerOptions{BatchSize: 1, GroupSize: 1})
	for _, p := range [][2]int{{0, 1}, {0, -1}, {-1, 0}} {
		if _, err := s.Batch(p[0], p[1]); err == nil {
			t.Errorf("batch %d of epoch %d is no error", p[1], p[0])
		}
	}
}
