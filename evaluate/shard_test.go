package evaluate

import (
	"fmt"
	"testing"
)

// TestShardsGiveTheSameFiles runs three shards in two orders, the second of them killed in
// between, and compares with one process.
func TestShardsGiveTheSameFiles(t *testing.T) {
	data := generated(t, 330, 25)
	whole := &hashEncoder{dim: 16}
	wantOut := t.TempDir()
	if _, err := Run(t.Context(), generatedOptions(data, wantOut, whole)); err != nil {
		t.Fatal(err)
	}
	want := tree(t, wantOut)
	for _, order := range [][]int{{1, 2, 3}, {3, 1, 2}} {
		out := t.TempDir()
		texts := 0
		for i, shard := range order {
			run := func(stop int) ([]*Outcome, error) {
				calls := 0
				e := &hashEncoder{dim: 16}
				e.before = func(Role) error {
					if calls++; calls == stop {
						return fmt.Errorf("stop")
					}
					return nil
				}
				o := generatedOptions(data, out, e)
				o.Shard, o.Shards = shard, 3
				outcomes, err := Run(t.Context(), o)
				texts += e.texts
				return outcomes, err
			}
			if shard == 2 {
				if _, err := run(2); err == nil {
					t.Fatal("the shard was not stopped")
				}
			}
			outcomes, err := run(0)
			if err != nil {
				t.Fatal(err)
			}
			if last := i == 2; outcomes[0].Pending == last || (outcomes[0].Result != nil) != last {
				t.Errorf("order %v, shard %d: pending %v", order, shard, outcomes[0].Pending)
			}
		}
		sameTree(t, fmt.Sprint("order ", order), tree(t, out), want)
		if texts != whole.texts {
			t.Errorf("order %v: %d texts encoded, one process encodes %d", order, texts, whole.texts)
		}
	}
	o := generatedOptions(data, t.TempDir(), whole)
	o.Shard, o.Shards = 4, 3
	if _, err := Run(t.Context(), o); err == nil {
		t.Error("shard 4 of 3 was run")
	}
}
