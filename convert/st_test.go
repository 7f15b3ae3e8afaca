package convert_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph/pass"
	"graft/runtime/tokenizer"
)

// Directories of sentence-transformers, in the layout of version 2 (sentence-t5), 5 (bert) and 6 (qwen3), give the
// vectors that the library gives: tokenizer, maximum length, prompts, pooling, Dense, normalization.
func TestSentenceTransformers(t *testing.T) {
	for _, name := range []string{"models/bert", "models/qwen3", "sentence-t5/model"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("../testdata", name)
			raw, err := os.ReadFile(filepath.Join(dir, "st_expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Texts     []string          `json:"texts"`
				Prompts   map[string]string `json:"prompts"`
				MaxLength int               `json:"max_seq_length"`
				Pooling   string            `json:"pooling"`
				Normalize bool              `json:"normalise"`
				Tolerance struct{ ATol float64 }
			}
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			vectors, err := safetensors.Open(filepath.Join(dir, "st_expected.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer vectors.Close()

			m, err := convert.Open(dir, convert.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			mod := m.Modules
			if mod.MaxLength != want.MaxLength || mod.Normalize != want.Normalize || mod.Pooling[0].Name != want.Pooling || fmt.Sprint(mod.Prompts) != fmt.Sprint(want.Prompts) {
				t.Errorf("modules %+v, want %+v", mod, want)
			}
			tok, err := tokenizer.Open(dir, tokenizer.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer tok.Close()
			s := session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{}))
			for key, prompt := range map[string]string{"none": "", "query": mod.Prompts["query"], "document": mod.Prompts["document"]} {
				v, err := vectors.Tensor("embedding." + key).Float32()
				if err != nil {
					t.Fatal(err)
				}
				for i, text := range want.Texts {
					e, err := tok.Encode(prompt+text, tokenizer.EncodeOptions{MaxLength: mod.MaxLength})
					if err != nil {
						t.Fatal(err)
					}
					got := run(t, s, oneText(e))["sentence_embedding"].data
					for j := range got {
						if d := math.Abs(float64(got[j] - v[i*m.Dim+j])); !(d <= want.Tolerance.ATol) {
							t.Fatalf("%s, text %d: element %d is %g, want %g (atol %g)", key, i, j, got[j], v[i*m.Dim+j], want.Tolerance.ATol)
						}
					}
				}
			}
		})
	}
}

// oneText is an encoded text as a batch.
func oneText(e tokenizer.Encoding) *batch {
	shape := []int64{1, int64(len(e.IDs))}
	b := &batch{ids: &tokens{shape, make([]int64, len(e.IDs))}, mask: &tokens{shape, make([]int64, len(e.IDs))}}
	for i, id := range e.IDs {
		b.ids.data[i], b.mask.data[i] = int64(id), 1
	}
	return b
}
