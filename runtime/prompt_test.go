package runtime

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph"
	"graft/runtime/tokenizer"
)

// promptModel is the llama fixture with include_prompt false in its Pooling module, and its vectors as long as they are.
func promptModel(t *testing.T) Model {
	t.Helper()
	requireORT(t)
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS("../testdata/models/llama")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"modules.json": `[{"path": "", "type": "sentence_transformers.models.Transformer"},
			{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]`,
		"1_Pooling/config.json": `{"pooling_mode_mean_tokens": true, "include_prompt": false}`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	m, err := convert.Open(dir, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	tok, err := tokenizer.FromFile(m.Tokenizer, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tok.Close() })
	return Model{Graph: m.Graph, Tokenizer: tok, MaxLength: m.Modules.MaxLength, PromptPooling: string(m.Modules.PromptPooling)}
}

// TestPromptIsNotPooled: the vector is the mean of the tokens behind the prompt, which the model
// has seen all the same, however the model counts the prompt's tokens.
func TestPromptIsNotPooled(t *testing.T) {
	const prompt = "search for: "
	texts := []string{"the moon orbits the earth", "tides", ""}
	m := promptModel(t)
	if m.PromptPooling != "prompt" {
		t.Fatalf("include_prompt false is read as %q", m.PromptPooling)
	}
	own, err := m.Tokenizer.Encode(prompt, tokenizer.EncodeOptions{NoSpecial: true})
	if err != nil {
		t.Fatal(err)
	}
	for counting, first := range map[string]int{"prompt": 1 + len(own.IDs), "prompt_length": len(own.IDs), "": 0} {
		t.Run(counting, func(t *testing.T) {
			m.PromptPooling = counting
			e, err := Open(context.Background(), m, Options{Provider: "cpu", Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			got := encoded(t, e, texts, EncodeOptions{Prompt: prompt})
			for i, text := range texts {
				if d := far(got.Row(i), meanFrom(t, m, prompt+text, first)); !(d <= 1e-5) {
					t.Errorf("%q differs by %g from the mean of its tokens from %d on", text, d, first)
				}
			}
			steady, err := e.Steadiness(context.Background(), texts, EncodeOptions{Prompt: prompt})
			if err != nil || !(steady.LeftPadding.MaxAbs <= 1e-5) || !(steady.Alone.MaxAbs <= 1e-5) {
				t.Errorf("padded otherwise: %+v, %v", steady, err)
			}
			plain := encoded(t, e, texts[:1], EncodeOptions{})
			if d := far(plain.Row(0), meanFrom(t, m, texts[0], 0)); !(d <= 1e-5) {
				t.Errorf("without a prompt: differs by %g from the mean of all tokens", d)
			}
		})
	}
}

// meanFrom is the mean of a text's token vectors from the first-th on, of all where there are none.
func meanFrom(t *testing.T, m Model, text string, first int) []float32 {
	t.Helper()
	row, err := m.Tokenizer.Encode(text, tokenizer.EncodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := len(row.IDs)
	if first >= n {
		first = 0
	}
	r := RecorderOf([]tokenizer.Encoding{row}, 0, RecordOptions{Threads: 1})
	var mean []float32
	out := m.Graph.Graph.Output("last_hidden_state")
	err = r.Record(context.Background(), m.Graph, []*graph.Value{out}, func(mask []int64, v [][]float32) error {
		width := len(v[0]) / len(mask)
		mean = make([]float32, width)
		for i := first; i < n; i++ {
			for j := range mean {
				mean[j] += v[0][i*width+j] / float32(n-first)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return mean
}

func TestUnknownPromptPooling(t *testing.T) {
	m := promptModel(t)
	m.PromptPooling = "half"
	e, err := Open(context.Background(), m, Options{Provider: "cpu", Threads: 1})
	if err == nil {
		defer e.Close()
		_, err = e.Encode(context.Background(), []string{"a"}, EncodeOptions{})
	}
	if err == nil || !strings.Contains(err.Error(), `"half", which is not known`) {
		t.Errorf("error %v", err)
	}
}
