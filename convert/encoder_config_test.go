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
		{"deberta-v2", "conv_kernel_size", "conv_kernel_size 3"}:      3,
		{"deberta-v2", "position_buckets", "position_buckets 7"}:      7,
		{"deberta-v2", "max_relative_positions", "distances up to 5"}: 5,
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
