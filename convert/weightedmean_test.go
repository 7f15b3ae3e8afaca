package convert_test

import (
	"path/filepath"
	"slices"
	"testing"

	"graft/convert"
	"graft/graph/pass"
)

// A prompt that is not pooled leaves the other tokens the weights of their places in the text, as in sentence-transformers.
func TestWeightedMeanBehindPrompt(t *testing.T) {
	const prompt = 2
	dir := copyModel(t, "bert")
	edit(t, filepath.Join(dir, "1_Pooling", "config.json"), func(m map[string]any) {
		clear(m)
		m["pooling_mode"], m["include_prompt"] = "weightedmean", false
	})
	e := readExpected(t, dir)
	b := e.batch(t, "right").alone(0)
	b.pooled = &tokens{b.mask.shape, slices.Clone(b.mask.data)}
	clear(b.pooled.data[:prompt])
	unnormalized := false
	out := run(t, session(t, lowered(t, dir, convert.OpenOptions{Normalize: &unnormalized}, pass.LowerOptions{})), b)
	hidden := out["last_hidden_state"]
	features := int(hidden.shape[2])
	want, sum := make([]float32, features), float32(0)
	for i := prompt; i < b.width(); i++ {
		sum += float32(i + 1)
		for f := range features {
			want[f] += float32(i+1) * hidden.data[i*features+f]
		}
	}
	for f := range want {
		want[f] /= sum
	}
	e.near(t, "weighted mean", out["sentence_embedding"].data, want)
}
