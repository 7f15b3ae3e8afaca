//go:build !lite

package torch

import "testing"

// A mask that says no more than a causal order becomes that order, whatever it does at padding behind the texts; any other
// mask stays one.
func TestAttentionMaskIsCausal(t *testing.T) {
	const n = 6
	type see func(i, j int) bool
	causal := func(i, j int) bool { return j <= i }
	within := func(size int) see { return func(i, j int) bool { return j <= i && j > i-size } }
	for _, test := range []struct {
		name    string
		lengths []int // of the texts, padded behind; negative: padded before
		see     see
		keys    int
		want    string
	}{
		{"no padding", []int{6, 6}, causal, n, "causal"},
		{"padding behind", []int{6, 2, 4}, causal, n, "causal"},
		{"padding before", []int{6, -2}, causal, n, "mask"},
		{"a window as long as the texts", []int{6, 3}, within(n), n, "causal"},
		{"a window that is shorter", []int{6, 3}, within(n - 1), n, "mask"},
		{"a window that is as long as a shorter text", []int{4, 3}, within(4), n, "causal"},
		{"all", []int{6, 6}, func(int, int) bool { return true }, n, "none"},
		{"all, padding behind", []int{6, 5}, func(int, int) bool { return true }, n, "mask"},
		{"itself alone", []int{6}, within(1), n, "mask"},
		{"keys before the queries", []int{6}, causal, n + 1, "mask"},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer Lock()()
			s := newScope(t)
			var real []int64
			var mask []bool
			for _, length := range test.lengths {
				there := func(i int) bool { return i < length || length < 0 && i >= n+length }
				for i := range n {
					real = append(real, 0)
					if there(i) {
						real[len(real)-1] = 1
					}
					for j := range test.keys {
						mask = append(mask, test.see(i, j) && there(j) || i == j)
					}
				}
			}
			texts := int64(len(test.lengths))
			c := call{Scope: s, step: &step{in: []int{0, 1}}, run: &run{s: s, env: []value{
				{t: s.Bools(mask, texts, 1, n, int64(test.keys))}, {t: s.Int64s(real, texts, n)}}}}
			got := "none"
			switch out := attentionMask(&c)[0]; {
			case out.causal:
				got = "causal"
			case out.t != nil:
				got = "mask"
			}
			if got != test.want || s.Err() != nil {
				t.Errorf("%s, want %s; %v", got, test.want, s.Err())
			}
		})
	}
}
