package convert_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph/pass"
	"graft/runtime/tokenizer"
)

// A Paddle checkpoint gives the hidden states and ids of the model that it was made from, and what is exported of it too.
func TestPaddle(t *testing.T) {
	for _, name := range []string{"bert", "ernie"} {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join("../testdata/paddle", name)
			e := readExpected(t, filepath.Join("../testdata/models", name))
			b := e.batch(t, "right")
			s := session(t, lowered(t, from, convert.OpenOptions{HiddenStates: true}, pass.LowerOptions{}))
			e.checkStates(t, "right", b, run(t, s, b))
			dir, _ := save(t, from, convert.OpenOptions{}, convert.SaveOptions{})
			for _, path := range []string{from, dir} {
				m := open(t, path, convert.OpenOptions{})
				e.near(t, path, b.real(outputs(t, m.Graph, b)["last_hidden_state"]), b.real(e.floats(t, "right.last_hidden_state")))
				checkIDs(t, m.Tokenizer, filepath.Join("../testdata/models", name, "tok_expected.json"))
			}
		})
	}
}

// checkIDs compares a tokenizer's ids with those that a file holds.
func checkIDs(t *testing.T, path, golden string) {
	t.Helper()
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		MaxLength int `json:"max_length"`
		Texts     []string
		IDs       [][]int64 `json:"input_ids"`
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromFile(path, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	for i, text := range want.Texts {
		e, err := tok.Encode(text, tokenizer.EncodeOptions{MaxLength: want.MaxLength})
		if err != nil {
			t.Fatal(err)
		}
		if got := oneText(e).ids.data; !slices.Equal(got, want.IDs[i]) {
			t.Errorf("%q: ids %v, want %v", text, got, want.IDs[i])
		}
	}
}

// What PaddleNLP's config leaves out is what PaddleNLP takes.
func TestPaddleDefaults(t *testing.T) {
	dir := copyPaddle(t)
	edit(t, filepath.Join(dir, "model_config.json"), func(m map[string]any) {
		inner := m["init_args"].([]any)[0].(map[string]any)
		delete(inner, "layer_norm_eps")
		delete(inner, "intermediate_size")
	})
	m := open(t, dir, convert.OpenOptions{})
	var config map[string]any
	if err := json.Unmarshal(m.Config, &config); err != nil {
		t.Fatal(err)
	}
	if config["layer_norm_eps"] != 1e-5 || config["intermediate_size"] != 64. || config["model_type"] != "ernie" {
		t.Errorf("config %v", config)
	}
}

func copyPaddle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/paddle/ernie")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPaddleMistakes(t *testing.T) {
	file := func(name, content string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		want   string
		change func(t *testing.T, dir string)
	}{
		"no config":      {"neither config.json nor model_config.json", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "model_config.json")) }},
		"another class":  {"says which architecture it is; known: Bert, Ernie", file("model_config.json", `{"hidden_size": 32, "init_class": "GPTModel"}`)},
		"no sizes":       {"no sizes of a model", file("model_config.json", `{"init_args": [{"init_class": "ErnieModel"}]}`)},
		"no pickle":      {"it is no pickle", file("model_state.pdparams", "PK")},
		"call":           {`refuses to call "os.system"`, file("model_state.pdparams", "\x80\x02cos\nsystem\nU\x04true\x85R.")},
		"cut":            {"model_state.pdparams", func(t *testing.T, dir string) { os.Truncate(filepath.Join(dir, "model_state.pdparams"), 100000) }},
		"poor tokenizer": {"vocab.txt: no token [UNK]", file("vocab.txt", "[PAD]\n[CLS]\n[SEP]\n[MASK]\n")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyPaddle(t)
			test.change(t, dir)
			m, err := convert.Open(dir, convert.OpenOptions{})
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %s", err, test.want)
			}
		})
	}
}
