package convert_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/tokenizerjson"
	"graft/runtime/tokenizer"
)

const tokenizers = "../testdata/tokenizers"

// slowModel is a small model without a tokenizer in a folder of its own, with the files of a slow tokenizer beside it.
func slowModel(t *testing.T, kind string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join("../testdata/models", kind)
	weights, _ := filepath.Glob(filepath.Join(from, "model*")) // the pattern is well-formed
	for _, file := range append(weights, filepath.Join(from, "config.json")) {
		copyFile(t, file, filepath.Join(dir, filepath.Base(file)))
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, raw, 0o666); err != nil {
		t.Fatal(err)
	}
}

func readInto(t *testing.T, v any, path ...string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{tokenizers}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// sameIDs compares a tokenizer's ids of texts, special tokens included.
func sameIDs(t *testing.T, path string, texts []string, want [][]int32) {
	t.Helper()
	tok, err := tokenizer.FromFile(path, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	for i, text := range texts {
		e, err := tok.Encode(text, tokenizer.EncodeOptions{})
		if err != nil || !slices.Equal(e.IDs, want[i]) {
			t.Errorf("%q: ids %v (%v), want %v", text, e.IDs, err, want[i])
		}
	}
}

// slowCase is a folder of a slow tokenizer without its model, and the ids of slowTexts, special tokens included, that transformers gives.
type slowCase struct {
	From  map[string]string
	Files map[string]json.RawMessage
	IDs   [][]int32
}

func slowCases(t *testing.T) map[string]slowCase {
	var cases map[string]slowCase
	readInto(t, &cases, "slow", "cases.json")
	return cases
}

func slowTexts(t *testing.T) []string {
	var first struct{ Texts []string }
	var more []string
	readInto(t, &first, "texts.json")
	readInto(t, &more, "slow", "texts.json")
	return append(first.Texts, more...)
}

// model is a small model with the case's tokenizer.
func (c slowCase) model(t *testing.T, kind string) string {
	files := map[string]string{}
	for to, from := range c.From {
		raw, err := os.ReadFile(filepath.Join(tokenizers, "slow", from))
		if err != nil {
			t.Fatal(err)
		}
		files[to] = string(raw)
	}
	for name, content := range c.Files {
		files[name] = string(content)
	}
	return slowModel(t, kind, files)
}

// TestSlowTokenizers opens models that have the files of slow tokenizers alone: ids are those of transformers' fast tokenizers, before
// the model is written and after.
func TestSlowTokenizers(t *testing.T) {
	texts := slowTexts(t)
	for name, c := range slowCases(t) {
		if c.IDs == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m := open(t, c.model(t, "llama"), convert.OpenOptions{}) // any model with enough rows
			if m.TokenizerFrom == "" {
				t.Fatal("the model does not say what its tokenizer was made of")
			}
			sameIDs(t, m.Tokenizer, texts, c.IDs)
			out := filepath.Join(t.TempDir(), "out")
			if _, err := convert.Save(t.Context(), out, m, convert.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			sameIDs(t, filepath.Join(out, "tokenizer.json"), texts, c.IDs)
			made := m.Tokenizer
			if m.Close(); exists(made) {
				t.Errorf("%s is still there", made)
			}
		})
	}
}

// TestHubSlowTokenizers: all files that a slow tokenizer has are fetched.
func TestHubSlowTokenizers(t *testing.T) {
	cases := slowCases(t)
	for _, name := range []string{"llama-added", "xlm-roberta", "roberta", "t5", "deberta"} {
		server := newHub(t)
		server.dir = cases[name].model(t, "llama")
		m := open(t, "hf:org/tiny", convert.OpenOptions{Hub: server.client(t)})
		sameIDs(t, m.Tokenizer, slowTexts(t), cases[name].IDs)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestVocabText makes tokenizers of vocab.txt and compares them with the tokenizer.json of the same vocabulary.
func TestVocabText(t *testing.T) {
	var texts struct{ Texts []string }
	readInto(t, &texts, "texts.json")
	for _, kind := range []string{"bert", "distilbert", "ernie"} {
		whole, err := tokenizer.Open(filepath.Join(tokenizers, kind), tokenizer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()
		var want [][]int32
		for _, text := range texts.Texts {
			e, err := whole.Encode(text, tokenizer.EncodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, e.IDs)
		}
		dir := slowModel(t, kind, nil)
		for _, name := range []string{"vocab.txt", "tokenizer_config.json"} {
			copyFile(t, filepath.Join(tokenizers, kind, name), filepath.Join(dir, name))
		}
		sameIDs(t, open(t, dir, convert.OpenOptions{}).Tokenizer, texts.Texts, want)
	}
	files := map[string]string{"vocab.txt": "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nÄ\r\nä\r\n", "tokenizer_config.json": `{"do_lower_case": false}`}
	sameIDs(t, open(t, slowModel(t, "bert", files), convert.OpenOptions{}).Tokenizer, []string{"Ä ä x"}, [][]int32{{2, 4, 5, 1, 3}})
}

// TestVocabTextMPNet compares the published all-mpnet-base-v2's vocab.txt with transformers.
func TestVocabTextMPNet(t *testing.T) {
	var want struct {
		SHA256 string `json:"vocab_sha256"`
		IDs    [][]int32
		Pair   []int32
	}
	readInto(t, &want, "mpnet.json")
	published := filepath.Join(os.Getenv("GRAFT_MODELS"), "mpnet")
	vocab, err := os.ReadFile(filepath.Join(published, "vocab.txt"))
	if err != nil || fmt.Sprintf("%x", sha256.Sum256(vocab)) != want.SHA256 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("missing: the vocab.txt of all-mpnet-base-v2: %v", err)
		}
		t.Skipf("missing: the vocab.txt of all-mpnet-base-v2: %v", err)
	}
	config, err := os.ReadFile(filepath.Join(published, "tokenizer_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, raw := range map[string][]byte{"vocab.txt": vocab, "tokenizer_config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	made, err := tokenizerjson.Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"tokenizer.json": made.JSON, "tokenizer_config.json": made.Config} {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var texts struct {
		Texts []string
		Pairs [][2]string
	}
	readInto(t, &texts, "texts.json")
	sameIDs(t, filepath.Join(dir, "tokenizer.json"), texts.Texts, want.IDs)
	tok, err := tokenizer.Open(dir, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	pair, err := tok.EncodePair(texts.Pairs[0][0], texts.Pairs[0][1], tokenizer.EncodeOptions{})
	if err != nil || !slices.Equal(pair.IDs, want.Pair) || tok.PadID() != 1 || tok.ModelMaxLength() != 512 {
		t.Errorf("pair %v (%v), want %v; pad id %d, maximum length %d", pair.IDs, err, want.Pair, tok.PadID(), tok.ModelMaxLength())
	}
}

// TestUnknownTokenizer: a model whose tokenizer cannot be made is a model all the same, and says why.
func TestUnknownTokenizer(t *testing.T) {
	files := map[string]string{"vocab.txt": "[PAD]\n", "tokenizer_config.json": `{"tokenizer_class": "BertJapaneseTokenizer"}`}
	m := open(t, slowModel(t, "bert", files), convert.OpenOptions{})
	if m.Tokenizer != "" || !slices.ContainsFunc(m.Warnings, func(w string) bool { return strings.Contains(w, "BertJapaneseTokenizer") }) {
		t.Errorf("tokenizer %q, warnings %q", m.Tokenizer, m.Warnings)
	}
	files["tokenizer_config.json"] = "{}"
	if m, err := convert.Open(slowModel(t, "bert", files), convert.OpenOptions{}); err == nil {
		m.Close()
		t.Error("a vocabulary without the unknown token was taken")
	}
}
