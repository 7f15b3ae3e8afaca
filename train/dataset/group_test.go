package dataset

import (
	"fmt"
	"slices"
	"testing"
)

// TestSample checks each group against the rule of the reference: one positive, G-1 negatives without replacement, of a
// list that is repeated where it is short.
func TestSample(t *testing.T) {
	for _, negatives := range []int{1, 2, 3, 7, 8, 20} {
		for _, size := range []int{1, 2, 4, 8} {
			t.Run(fmt.Sprintf("%d negatives, group of %d", negatives, size), func(t *testing.T) {
				tokens := tokenized(t, mustOpen(t, Options{GroupSize: 2}, grouped(t, "a", 20, negatives)))
				s := sampler(t, tokens, SamplerOptions{BatchSize: 8, GroupSize: size, Shuffle: true})
				most := max(1, (size-1+negatives-1)/negatives) // times that a negative may occur
				for epoch := range 3 {
					for _, b := range epochOf(t, s, epoch) {
						for _, g := range b.Groups {
							checkGroup(t, g, size, most)
						}
					}
				}
			})
		}
	}
}

// checkGroup checks a group of a row of grouped, whose texts name their row and whose scores their place in its list.
func checkGroup(t *testing.T, g Group, size, most int) {
	t.Helper()
	if len(g.Passages) != size || len(g.PassageHashes) != size || len(g.TeacherScores) != size {
		t.Fatalf("row %d: %d passages, %d hashes, %d scores; want %d of each", g.Row, len(g.Passages), len(g.PassageHashes), len(g.TeacherScores), size)
	}
	if got, want := textOf(g.Query), fmt.Sprintf("a q%d", g.Row); got != want {
		t.Errorf("row %d: query %q", g.Row, got)
	}
	times := map[string]int{}
	for i, p := range g.Passages {
		text := textOf(p)
		want := fmt.Sprintf("a p%d.%g", g.Row, g.TeacherScores[i])
		if i > 0 {
			want = fmt.Sprintf("a n%d.%g", g.Row, g.TeacherScores[i]-100)
		}
		if text != want {
			t.Errorf("row %d: passage %d with score %g is %q, want %q", g.Row, i, g.TeacherScores[i], text, want)
		}
		if g.PassageHashes[i] != textHash(text) {
			t.Errorf("row %d: hash of passage %d is not that of its text", g.Row, i)
		}
		if times[text]++; times[text] > most {
			t.Errorf("row %d: %q occurs %d times, want at most %d", g.Row, text, times[text], most)
		}
	}
	if want := []uint64{textHash(fmt.Sprintf("a p%d.0", g.Row)), textHash(fmt.Sprintf("a p%d.1", g.Row))}; !sameHashes(g.KnownPositives, want) {
		t.Errorf("row %d: known positives %x, want %x", g.Row, g.KnownPositives, want)
	}
}

func sameHashes(got, want []uint64) bool {
	slices.Sort(want)
	return slices.Equal(got, want)
}

// TestSampleIsUniform draws 2 of 5 negatives and 1 of 2 positives in 4000 epochs: each negative is expected 1600 times
// with a standard deviation of 31, each positive 2000 times with 32.
func TestSampleIsUniform(t *testing.T) {
	tokens := tokenized(t, mustOpen(t, Options{GroupSize: 2}, grouped(t, "a", 1, 5)))
	const epochs = 4000
	times := map[uint64]int{}
	pairs := map[[2]uint64]int{}
	for epoch := range epochs {
		chosen := tokens.sample(1, epoch, 0, 3)
		for _, c := range chosen {
			times[c]++
		}
		pairs[[2]uint64{chosen[1], chosen[2]}]++
	}
	for passage := range uint64(7) {
		want := 1600
		if passage < 2 {
			want = 2000
		}
		if n := times[passage]; n < want-160 || n > want+160 {
			t.Errorf("passage %d is drawn %d times, want about %d", passage, n, want)
		}
	}
	if len(pairs) != 20 {
		t.Errorf("%d ordered pairs of negatives occur, want all 20", len(pairs))
	}
}

// TestGroupDoesNotDependOnItsBatch: batch size, order and ranks change no group.
func TestGroupDoesNotDependOnItsBatch(t *testing.T) {
	tokens := mixed(t)
	want := map[int][]uint64{}
	for _, b := range epochOf(t, sampler(t, tokens, SamplerOptions{BatchSize: 1, GroupSize: 4, Seed: 8}), 1) {
		want[b.Groups[0].Row] = b.Groups[0].PassageHashes
	}
	for _, o := range everyOrder() {
		o.BatchSize, o.GroupSize, o.Seed = 7, 4, 8
		for _, b := range epochOf(t, sampler(t, tokens, o), 1) {
			for _, g := range b.Groups {
				if !slices.Equal(g.PassageHashes, want[g.Row]) {
					t.Errorf("%s: row %d has other passages", orderName(o), g.Row)
				}
			}
		}
	}
}

// TestKnownPositives: of all rows with the query, in whatever file, but not of the same words under another prompt.
func TestKnownPositives(t *testing.T) {
	other := write(t, "other.jsonl", jsonl(
		`{"query": "a", "pos": ["far"], "neg": ["n"]}`,
		`{"query": "c", "pos": ["c"], "neg": ["far"]}`,
	))
	tokens := tokenized(t, mustOpen(t, Options{GroupSize: 2}, scored(t), other))
	want := [][]string{{"x", "y", "z", "far"}, {"x", "b"}, {"z", "x"}, {"x", "y", "z", "far"}, {"x", "b"}, {"x", "y", "z", "far"}, {"c"}}
	for _, b := range epochOf(t, sampler(t, tokens, SamplerOptions{BatchSize: 3, GroupSize: 2}), 0) {
		for _, g := range b.Groups {
			var hashes []uint64
			for _, text := range want[g.Row] {
				hashes = append(hashes, textHash(text))
			}
			if !sameHashes(g.KnownPositives, hashes) {
				t.Errorf("row %d: %d known positives, want those of %v", g.Row, len(g.KnownPositives), want[g.Row])
			}
		}
	}
}

// TestTeacherScores: rows without a full set of scores have none.
func TestTeacherScores(t *testing.T) {
	tokens := tokenized(t, mustOpen(t, Options{GroupSize: 2}, scored(t)))
	for _, b := range epochOf(t, sampler(t, tokens, SamplerOptions{BatchSize: 5, GroupSize: 2}), 0) {
		for _, g := range b.Groups {
			if has, want := g.TeacherScores != nil, g.Row == 0 || g.Row == 3; has != want {
				t.Errorf("row %d: scores %v, want some: %t", g.Row, g.TeacherScores, want)
			}
		}
	}
}
