package convert_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
)

// What a config says and the graph would not do is an error: the vectors would be wrong without a word.
func TestEncoderConfigRefused(t *testing.T) {
	type refusal struct{ model, key, want string }
	tests := map[refusal]any{
		{"deberta-v2", "conv_kernel_size", "conv_kernel_size 3"}:        3,
		{"deberta-v2", "position_buckets", "position_buckets 7"}:        7,
		{"jina-bert", "feed_forward_type", `feed_forward_type "reglu"`}: "reglu",
		{"deberta-v2", "max_relative_positions", "distances up to 5"}:   5,
	}
	for _, model := range []string{"bert", "roberta", "xlm-roberta", "ernie", "electra", "albert"} {
		for _, kind := range []string{"relative_key", "relative_key_query", "sinusoidal"} {
			tests[refusal{model, "position_embedding_type", fmt.Sprintf("position_embedding_type %q", kind)}] = kind
		}
	}
	for test, value := range tests {
		t.Run(test.model+"/"+test.want, func(t *testing.T) {
			dir := copyModel(t, test.model)
			edit(t, filepath.Join(dir, "config.json"), func(m map[string]any) { m[test.key] = value })
			m, err := convert.Open(dir, convert.OpenOptions{})
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// A checkpoint of published code is refused where it has a tensor in a block that no known version has.
func TestUnknownVersionRefused(t *testing.T) {
	for model, change := range map[string]struct{ from, to, want string }{
		"jina-bert-code":          {".layer_norm_1.", ".layer_norm_3.", "encoder.layer.0.layer_norm_3.bias"},
		"jina-embeddings-v3-code": {"pooler.dense.bias", "encoder.layers.2.mixer.norm_q.weight", "roberta.encoder.layers.2.mixer.norm_q.weight"},
	} {
		t.Run(model, func(t *testing.T) {
			dir := copyModel(t, model)
			rewrite(t, dir, func(name string) string { return strings.Replace(name, change.from, change.to, 1) })
			m, err := convert.Open(dir, convert.OpenOptions{})
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			if want := fmt.Sprintf("tensor %q of a block is not read", change.want); !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %s", err, want)
			}
		})
	}
}
