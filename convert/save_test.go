package convert_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/convert/safetensors"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// save opens a model and writes it under a new folder.
func save(t *testing.T, from string, o convert.OpenOptions, s convert.SaveOptions) (dir string, warnings []string) {
	t.Helper()
	m, err := convert.Open(from, o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir = filepath.Join(t.TempDir(), "out")
	warnings, err = convert.Save(context.Background(), dir, m, s)
	if err != nil {
		t.Fatal(err)
	}
	return dir, warnings
}

// openFile opens an ONNX file in ONNX Runtime.
func openFile(t *testing.T, path string) *ort.Session {
	t.Helper()
	session(t, lowered(t, "../testdata/models/bert", convert.OpenOptions{}, pass.LowerOptions{})) // skips where there is no library
	s, err := ort.Open(path, nil, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What is written is a model again: the checkpoint gives the same hidden states, and so does the
// ONNX file, opened through the directory, alone with its metadata, and with external data.
func TestSave(t *testing.T) {
	for _, name := range []string{"bert", "llama", "qwen2", "qwen3", "xlm-roberta"} {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join("../testdata/models", name)
			e := readExpected(t, from)
			normalize := false
			dir, _ := save(t, from, convert.OpenOptions{Pooling: "mean", Normalize: &normalize, Prompts: map[string]string{"query": "find: "}},
				convert.SaveOptions{External: name == "llama", Step: convert.Step{Command: "export"}, Version: "test"})
			b := e.batch(t, "right")
			want, pooled := b.real(e.floats(t, "right.last_hidden_state")), e.floats(t, "right.sentence_embedding.mean").data

			out := run(t, session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{})), b)
			e.near(t, "checkpoint", b.real(out["last_hidden_state"]), want)
			e.near(t, "checkpoint pooled", out["sentence_embedding"].data, pooled)
			file := filepath.Join(dir, "onnx", "model.onnx")
			out = run(t, openFile(t, file), b)
			e.near(t, "onnx", b.real(out["last_hidden_state"]), want)
			e.near(t, "onnx pooled", out["sentence_embedding"].data, pooled)
			if _, err := os.Stat(file + ".data"); (err == nil) != (name == "llama") {
				t.Errorf("external data: %v", err)
			}
			alone := filepath.Join(t.TempDir(), "alone.onnx")
			if name != "llama" {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				os.WriteFile(alone, raw, 0o666)
				checkModel(t, alone, convert.OpenOptions{}, e)
			}
			checkModel(t, dir, convert.OpenOptions{ONNX: true}, e)
			checkModel(t, dir, convert.OpenOptions{}, e)
		})
	}
}

// checkModel opens what TestSave wrote and compares what is said of it.
func checkModel(t *testing.T, path string, o convert.OpenOptions, e *expected) {
	t.Helper()
	m, err := convert.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Modules.PoolingName() != "mean" || m.Modules.Normalize || m.Modules.Prompts["query"] != "find: " || m.Modules.MaxLength < 24 {
		t.Errorf("%s: modules %+v", path, m.Modules)
	}
	if m.Dim != 32 {
		t.Errorf("%s: Dim %d", path, m.Dim)
	}
	if fromFile := o.ONNX || strings.HasSuffix(path, ".onnx"); fromFile != (m.File != "") {
		t.Errorf("%s: File %q", path, m.File)
	}
	if strings.HasSuffix(path, ".onnx") {
		return
	}
	if len(m.Steps) != 1 || m.Steps[0].Command != "export" || !strings.HasPrefix(m.Steps[0].Parent, "sha256:") || m.Steps[0].Version != "test" {
		t.Errorf("%s: steps %+v", path, m.Steps)
	}
}

func TestSaveVariant(t *testing.T) {
	dir, _ := save(t, "../testdata/models/bert", convert.OpenOptions{}, convert.SaveOptions{Step: convert.Step{Command: "export"}})
	m, err := convert.Open(dir, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	o := convert.SaveOptions{LowerOptions: pass.LowerOptions{Target: pass.CPU}, Variant: "cpu", Step: convert.Step{Command: "export"}}
	if _, err := convert.Save(context.Background(), dir, m, o); err != nil {
		t.Fatal(err)
	}
	if got := convert.Variants(dir); !slices.Equal(got, []string{"cpu"}) {
		t.Errorf("variants %q", got)
	}
	v, err := convert.Open(dir, convert.OpenOptions{Variant: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Steps) != 2 || v.Steps[1].Variant != "cpu" {
		t.Errorf("steps %+v", v.Steps)
	}
	if _, err := convert.Save(context.Background(), dir, m, o); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a variant that exists: %v", err)
	}
	if _, err := convert.Open(dir, convert.OpenOptions{Variant: "int8"}); err == nil || !strings.Contains(err.Error(), `"cpu"`) {
		t.Errorf("a variant that does not exist: %v", err)
	}
}

// The hash of a model does not depend on where it lies, and changes with its weights.
func TestHash(t *testing.T) {
	hash := func(dir string) string {
		m, err := convert.Open(dir, convert.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		h, err := m.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	dir := copyModel(t, "bert")
	if a, b := hash("../testdata/models/bert"), hash(dir); a != b {
		t.Errorf("the same model in two places: %s and %s", a, b)
	}
	before := hash(dir)
	file := filepath.Join(dir, "model.safetensors")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(file, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	if hash(dir) == before {
		t.Error("another weight, the same hash")
	}
	before = hash(dir)
	edit(t, filepath.Join(dir, "1_Pooling", "config.json"), func(m map[string]any) { m["pooling_mode"] = "cls" })
	if hash(dir) == before {
		t.Error("another pooling, the same hash")
	}
}

// copyModel copies a fixture to a folder that a test may change.
func copyModel(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../testdata/models", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSaveWithoutTokenizer(t *testing.T) {
	dir, warnings := save(t, "../testdata/models/electra", convert.OpenOptions{}, convert.SaveOptions{})
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "tokenizer.json") }) {
		t.Errorf("warnings %q", warnings)
	}
	if _, err := os.Stat(filepath.Join(dir, "onnx", "model.onnx")); err != nil {
		t.Error(err)
	}
}

// The directory has the files that other tools read, the checkpoint byte by byte.
func TestSaveLayout(t *testing.T) {
	dir, _ := save(t, "../testdata/models/bert", convert.OpenOptions{}, convert.SaveOptions{})
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "special_tokens_map.json", "vocab.txt"} {
		want, err := os.ReadFile(filepath.Join("../testdata/models/bert", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what it was (%v)", name, err)
		}
	}
	for name, want := range map[string]string{
		"modules.json":                      `"sentence_transformers.models.Normalize"`,
		"1_Pooling/config.json":             `"pooling_mode_mean_tokens": true`,
		"config_sentence_transformers.json": `"query: "`,
		"sentence_bert_config.json":         `"max_seq_length": 24`,
		"graft.json":                        `"parent": "sha256:`,
		"tokenizer_config.json":             `"PreTrainedTokenizerFast"`,
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s lacks %s: %s (%v)", name, want, got, err)
		}
	}
}

// A pooling that sentence-transformers does not have is named so that it cannot pool otherwise.
func TestSaveOwnPooling(t *testing.T) {
	dir, _ := save(t, "../testdata/models/llama", convert.OpenOptions{Pooling: "last_8"}, convert.SaveOptions{})
	raw, err := os.ReadFile(filepath.Join(dir, "1_Pooling", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	if config["pooling_mode"] != "last_8" || config["pooling_mode_mean_tokens"] != nil {
		t.Errorf("1_Pooling/config.json: %s", raw)
	}
	m, err := convert.Open(dir, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Modules.PoolingName() != "last_8" {
		t.Errorf("read again: %q", m.Modules.PoolingName())
	}
}

// Nothing is written over, and nothing is left of what failed.
func TestSaveMistakes(t *testing.T) {
	m, err := convert.Open("../testdata/models/bert", convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	ctx := context.Background()

	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := convert.Save(stopped, dir, m, convert.SaveOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := convert.Save(ctx, dir, m, convert.SaveOptions{LowerOptions: pass.LowerOptions{Opset: 5}}); err == nil {
		t.Error("opset 5 was written")
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
	if _, err := convert.Save(ctx, dir, m, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := convert.Save(ctx, dir, m, convert.SaveOptions{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over: %v", err)
	}
	if _, err := convert.Save(ctx, dir, m, convert.SaveOptions{Overwrite: true}); err != nil {
		t.Errorf("with Overwrite: %v", err)
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	other := filepath.Join(parent, "photos")
	os.MkdirAll(other, 0o777)
	os.WriteFile(filepath.Join(other, "a.jpg"), nil, 0o666)
	if _, err := convert.Save(ctx, other, m, convert.SaveOptions{Overwrite: true}); err == nil || !strings.Contains(err.Error(), "not a model directory") {
		t.Errorf("a folder of something else: %v", err)
	}
	file := filepath.Join(parent, "file")
	os.WriteFile(file, nil, 0o666)
	if _, err := convert.Save(ctx, filepath.Join(file, "out"), m, convert.SaveOptions{}); err == nil {
		t.Error("written below a file")
	}
}

// countdown is a context that ends when it was asked a number of times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// Wherever saving is interrupted, what was there stays and nothing else is left.
func TestSaveInterrupted(t *testing.T) {
	m, err := convert.Open("../testdata/models/bert", convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	if _, err := convert.Save(context.Background(), dir, m, convert.SaveOptions{Version: "first"}); err != nil {
		t.Fatal(err)
	}
	stops := 0
	for ; ; stops++ {
		_, err := convert.Save(&countdown{context.Background(), stops}, dir, m, convert.SaveOptions{Overwrite: true, Version: "second"})
		raw, readErr := os.ReadFile(filepath.Join(dir, "graft.json"))
		entries, _ := os.ReadDir(parent)
		if readErr != nil || len(entries) != 1 {
			t.Fatalf("stopped at %d: %v left, graft.json %v", stops, entries, readErr)
		}
		if second := strings.Contains(string(raw), `"second"`); second != (err == nil) {
			t.Fatalf("stopped at %d: error %v, but graft.json is %s", stops, err, raw)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at %d: %v", stops, err)
		}
	}
	if stops < 10 {
		t.Errorf("only %d places to stop at", stops)
	}
}

// A directory may be replaced by a model that was read from it.
func TestSaveOverItself(t *testing.T) {
	dir := copyModel(t, "bert")
	m, err := convert.Open(dir, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := convert.Save(context.Background(), dir, m, convert.SaveOptions{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	again, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// A decoder that was opened to look both ways still does when its directory is opened again.
func TestSaveBidirectional(t *testing.T) {
	e := readExpected(t, "../testdata/models/mistral")
	dir, _ := save(t, e.dir, convert.OpenOptions{Bidirectional: true}, convert.SaveOptions{})
	b := e.batch(t, "right")
	want := b.real(e.floats(t, "bidir.last_hidden_state"))
	for name, s := range map[string]*ort.Session{
		"checkpoint": session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{})),
		"onnx":       openFile(t, filepath.Join(dir, "onnx", "model.onnx")),
	} {
		e.near(t, name, b.real(run(t, s, b)["last_hidden_state"]), want)
	}
}
