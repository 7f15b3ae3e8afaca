package prune_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
	"graft/prune"
	"graft/runtime/tokenizer"
)

// corpus are texts in several scripts, with words that the tiny vocabularies have to spell.
var corpus = []string{
	"The quick brown fox jumps over the lazy dog.", "Where do the children go in winter?", "hello hello WORLD",
	"a stitch in time saves nine, 2026", "naïve café", "不 是 中文", "tokenization of unusual words: zyzzyva",
}

// A text of the corpus has the same tokens by the smaller tokenizer, under other numbers, and the smaller model
// gives it the same vector, to the bit; the saved directory too.
func TestVocabulary(t *testing.T) {
	needORT(t)
	tested := 0
	for _, dir := range models(t) {
		file := filepath.Join(dir, "tokenizer.json")
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		tested++
		t.Run(filepath.Base(dir), func(t *testing.T) {
			before := rows(t, file)
			used := map[int]bool{}
			for _, r := range before {
				for _, id := range r.IDs {
					used[int(id)] = true
				}
			}
			m := openModel(t, dir, convert.OpenOptions{})
			want := vectors(t, m.Graph, before)
			v, err := prune.NewVocabulary(raw, used)
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Keep) >= 512 {
				t.Errorf("%d tokens stay: nothing was taken out", len(v.Keep))
			}
			if err := m.Rewrite(func(g *graph.Model) (convert.Surgery, error) {
				return convert.Surgery{Vocabulary: &convert.Vocabulary{Keep: v.Keep, Tokens: v.Tokens, Tokenizer: v.Tokenizer}}, v.Apply(g)
			}); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "small")
			if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{KeepDType: true}); err != nil {
				t.Fatal(err)
			}
			after := rows(t, filepath.Join(out, "tokenizer.json"))
			for i, r := range after {
				for j, id := range r.IDs {
					if j >= len(before[i].IDs) || int(before[i].IDs[j]) != v.Keep[id] {
						t.Fatalf("text %d: tokens %d are not %d under other numbers", i, r.IDs, before[i].IDs)
					}
				}
			}
			built := openModel(t, out, convert.OpenOptions{})
			if built.Sizes.Vocab != len(v.Keep) {
				t.Errorf("vocab_size %d, want %d (warnings %q)", built.Sizes.Vocab, len(v.Keep), m.Warnings)
			}
			for name, g := range map[string]*graph.Model{"pruned": m.Graph, "built": built.Graph} {
				for i, got := range vectors(t, g, after) {
					if !slices.Equal(got, want[i]) {
						t.Errorf("%s: text %d has another vector", name, i)
					}
				}
			}
		})
	}
	if tested < 8 {
		t.Errorf("only %d models have a tokenizer", tested)
	}
}

// rows are the corpus by a tokenizer.
func rows(t *testing.T, file string) []tokenizer.Encoding {
	t.Helper()
	tok, err := tokenizer.FromFile(file, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	list, err := tok.EncodeBatch(context.Background(), corpus, tokenizer.EncodeOptions{MaxLength: 24})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// vectors are the embeddings of rows, each alone.
func vectors(t *testing.T, m *graph.Model, rows []tokenizer.Encoding) [][]float32 {
	t.Helper()
	var list [][]float32
	for _, r := range rows[:3] {
		ids, mask := make([]int64, len(r.IDs)), make([]int64, len(r.IDs))
		for i, id := range r.IDs {
			ids[i], mask[i] = int64(id), 1
		}
		list = append(list, outputs(t, m, ids, mask, []int64{1, int64(len(ids))})["sentence_embedding"])
	}
	return list
}

func TestVocabularyRefused(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"unknown type", `{"model": {"type": "Tree", "vocab": {"a": 0}}}`, `a vocabulary of type "Tree" cannot be pruned`},
		{"affixes", `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "end_of_word_suffix": "</w>"}}`, `BPE with end_of_word_suffix "</w>" cannot be pruned`},
		{"no vocabulary", `{"model": {"type": "BPE"}}`, "the model has no vocabulary"},
		{"a list for a map", `{"model": {"type": "WordPiece", "vocab": [["a", 0.5]]}}`, "the vocabulary is not a map"},
		{"a map for a list", `{"model": {"type": "Unigram", "vocab": {"a": 0}}}`, "the vocabulary is not a list"},
		{"unknown id", `{"model": {"type": "WordPiece", "vocab": {"b": 1}}}`, "it has no token of id 0"},
		{"no JSON", `{`, "unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := prune.NewVocabulary([]byte(c.file), map[int]bool{0: true})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// Some models give their ids another shape before they look them up: the table is found behind it.
func TestVocabularyReshaped(t *testing.T) {
	m := openModel(t, filepath.Join("..", "testdata", "models", "bert"), convert.OpenOptions{})
	g := m.Graph.Graph
	ids := g.Input("input_ids")
	b := graph.NewBuilder(g, nil)
	flat := b.Reshape(ids, -1, 1)
	back := b.Squeeze(b.Unsqueeze(flat, 0), 0)
	for _, n := range g.Nodes {
		if n.Is("Gather") && n.Input(1) == ids {
			n.Inputs[1] = back
		}
	}
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	v := &prune.Vocabulary{Keep: []int{0, 1, 2, 3, 4, 40, 41}}
	if err := v.Apply(m.Graph); err != nil {
		t.Fatal(err)
	}
	if rows := g.Initializer("embeddings.word_embeddings.weight").Init.Shape[0]; rows != 7 {
		t.Errorf("the table has %d rows, want 7", rows)
	}
}
