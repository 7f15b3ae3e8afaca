package convert_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph/pass"
)

// A model that llama.cpp's own package wrote gives the hidden states of the checkpoint that it was made from,
// its rows of query and key in the order of rotary positions again.
func TestGGUFHiddenStates(t *testing.T) {
	for _, name := range []string{"llama", "qwen3"} {
		e := readExpected(t, filepath.Join("../testdata/models", name))
		b := e.batch(t, "right")
		s := session(t, lowered(t, filepath.Join("../testdata/gguf", name+".gguf"), convert.OpenOptions{HiddenStates: true}, pass.LowerOptions{}))
		e.checkStates(t, "right", b, run(t, s, b))
	}
}

// ggufDir is a folder with a GGUF file of testdata and nothing else.
func ggufDir(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../testdata/gguf", name))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), raw, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What is exported of a GGUF file is a model directory like any other.
func TestGGUFExport(t *testing.T) {
	e := readExpected(t, "../testdata/models/qwen3")
	b := e.batch(t, "right")
	from := ggufDir(t, "qwen3.gguf")
	dir, warnings := save(t, from, convert.OpenOptions{}, convert.SaveOptions{})
	if len(warnings) != 1 || !strings.Contains(warnings[0], "no padding token") {
		t.Errorf("warnings: %q", warnings)
	}
	m := open(t, dir, convert.OpenOptions{})
	if got := m.Modules.PoolingName(); got != "last" {
		t.Errorf("pooling %q, want the file's: last", got)
	}
	e.near(t, "checkpoint", b.real(outputs(t, m.Graph, b)["last_hidden_state"]), b.real(e.floats(t, "right.last_hidden_state")))
	got := run(t, openFile(t, filepath.Join(dir, "onnx", "model.onnx")), b)
	e.near(t, "ONNX", b.real(got["last_hidden_state"]), b.real(e.floats(t, "right.last_hidden_state")))
}

// Nothing is left of a model that was closed, or that could not be opened.
func TestGGUFLeavesNothing(t *testing.T) {
	temp, dir := t.TempDir(), ggufDir(t, "llama.gguf")
	t.Setenv("TMPDIR", temp)
	m, err := convert.Open(dir, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.Tokenizer); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Truncate(filepath.Join(dir, "llama.gguf"), 100000); err != nil {
		t.Fatal(err)
	}
	if _, err := convert.Open(dir, convert.OpenOptions{}); err == nil {
		t.Error("a file that was cut was opened")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v (%v)", left, err)
	}
}

// The tokenizer of a GGUF file gives the ids of the tokenizer that it was made from.
func TestGGUFTokenizer(t *testing.T) {
	m := open(t, "../testdata/gguf/qwen3.gguf", convert.OpenOptions{})
	checkIDs(t, m.Tokenizer, "../testdata/models/qwen3/tok_expected.json")
}

// SentencePiece's pieces in a GGUF file give the ids of the SentencePiece model.
func TestGGUFPieces(t *testing.T) {
	m := open(t, "../testdata/gguf/pieces.gguf", convert.OpenOptions{})
	texts, ids := slowTexts(t), slowCases(t)["llama"].IDs
	for i, text := range texts { // a token that the model lacks
		if strings.Contains(text, "<|x|>") {
			texts, ids = slices.Delete(texts, i, i+1), slices.Delete(ids, i, i+1)
			break
		}
	}
	sameIDs(t, m.Tokenizer, texts, ids)
	sameIDs(t, m.Tokenizer, []string{"<|x|><|x|>"}, [][]int32{{1, 400, 400}})
}

// replaceOnce changes bytes of a file that occur in it; the lengths must be equal.
func replaceOnce(t *testing.T, path, old, new string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte(old)) || len(old) != len(new) {
		t.Fatalf("%q cannot become %q", old, new)
	}
	if err := os.WriteFile(path, bytes.Replace(raw, []byte(old), []byte(new), 1), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestGGUFMistakes(t *testing.T) {
	change := func(old, new string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { replaceOnce(t, filepath.Join(dir, "llama.gguf"), old, new) }
	}
	for name, test := range map[string]struct {
		want   string
		change func(t *testing.T, dir string)
	}{
		"architecture":     {`architecture "falco" is not known; known: llama, qwen2, qwen3`, change("\x05\x00\x00\x00\x00\x00\x00\x00llama", "\x05\x00\x00\x00\x00\x00\x00\x00falco")},
		"no size":          {`key "llama.block_count"`, change("llama.block_count", "llama.block_kount")},
		"pre-tokenizer":    {`pre-tokenizer "smellm" is not known`, change("smollm", "smellm")},
		"heads":            {`"blk.0.attn_k.weight": 16 rows are not those of 3 heads`, change("head_count_kv\x04\x00\x00\x00\x02", "head_count_kv\x04\x00\x00\x00\x03")},
		"no embeddings":    {`"token_embd.weight" has the shape []`, change("token_embd.weight", "token_embt.weight")},
		"a tensor missing": {`lacks 1 tensors: ["model.layers.1.mlp.up_proj.weight"]`, change("blk.1.ffn_up.weight", "blk.1.ffn_op.weight")},
		"unsupported type": {`"output.weight": type Q6_K is not supported`, func(t *testing.T, dir string) {
			const entry = "output.weight\x02\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00"
			replaceOnce(t, filepath.Join(dir, "llama.gguf"), entry+"\x00", entry+"\x0e")
		}},
		"two files": {`several .gguf files: ["llama.gguf" "other.gguf"]`, func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "other.gguf"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}},
		"cut": {"truncated", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "llama.gguf"), 200000); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := ggufDir(t, "llama.gguf")
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
