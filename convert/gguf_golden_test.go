//go:build golden

package convert_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"graft/convert"
	"graft/graph/pass"
	"graft/runtime/tokenizer"
)

// SmolLM2 as llama.cpp keeps it: the ids of its own tokenizer, and the vectors that transformers computes from
// the same file.
func TestGoldenSmolLM2(t *testing.T) {
	m, err := convert.Open(downloaded(t, "smollm2"), convert.OpenOptions{Pooling: "last"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tok, err := tokenizer.FromFile(m.Tokenizer, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if err := pass.Lower(m.Graph, pass.LowerOptions{}); err != nil {
		t.Fatal(err)
	}
	s := session(t, encode(t, m))
	var texts struct{ Texts []string }
	var want struct {
		IDs       [][]int64            `json:"input_ids"`
		LastToken map[string][]float64 `json:"last_token"`
	}
	for path, v := range map[string]any{"../testdata/tokenizers/texts.json": &texts, "../testdata/gguf/smollm2.json": &want} {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range texts.Texts {
		e, err := tok.Encode(text, tokenizer.EncodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		one := oneText(e)
		if got := one.ids.data; !slices.Equal(got, want.IDs[i]) {
			t.Errorf("%q: ids %v, want %v", text, got, want.IDs[i])
			continue
		}
		wanted := want.LastToken[strconv.Itoa(i)]
		if wanted == nil {
			continue
		}
		hidden := run(t, s, one)["last_hidden_state"]
		last := hidden.data[len(hidden.data)-int(hidden.shape[2]):]
		for j, x := range wanted {
			if d := math.Abs(float64(last[j]) - x); !(d <= 2e-3*max(1, math.Abs(x))) {
				t.Errorf("%q: feature %d of the last token is %g, want %g", text, j, last[j], x)
			}
		}
	}
}
