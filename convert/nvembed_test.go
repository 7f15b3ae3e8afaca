package convert_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph/pass"
)

// The pooling of NV-Embed is the reference's, with and without tokens of a prompt left out, in
// every form, on either side of the padding and without it.
func TestLatentPooling(t *testing.T) {
	const dir = "../testdata/models/nvembed"
	for _, normalize := range []bool{false, true} {
		for _, l := range lowerings() {
			for _, prompt := range []string{"instr0", "instr2"} {
				name := prompt + map[bool]string{true: "_norm"}[normalize]
				t.Run(fmt.Sprintf("%s/opset%d/%s", name, l.Opset, l.Target), func(t *testing.T) {
					e := readExpected(t, dir)
					s := session(t, lowered(t, dir, convert.OpenOptions{Normalize: &normalize}, l))
					b := e.batch(t, "right")
					b.pooled = e.ints(t, "right.pool_mask."+prompt)
					want := e.floats(t, "right.sentence_embedding."+name)
					e.near(t, "right", run(t, s, b)["sentence_embedding"].data, want.data)
					e.near(t, "moved left", run(t, s, b.left())["sentence_embedding"].data, want.data)
					dim := len(want.data) / b.rows()
					for row := range b.rows() {
						e.near(t, fmt.Sprintf("row %d alone", row), run(t, s, b.alone(row))["sentence_embedding"].data, want.data[row*dim:][:dim])
					}
				})
			}
		}
	}
}

// A model that pools by latents says so itself: its head's mean, normalized, the prompt left out.
func TestLatentPoolingIsTheDefault(t *testing.T) {
	m, err := convert.Open("../testdata/models/nvembed", convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Modules.PoolingName() != "latent" || !m.Modules.Normalize || m.Modules.PromptPooling != convert.PromptLength || len(m.Warnings) > 0 || len(m.Unused) > 0 {
		t.Errorf("pooling %q, normalize %v, prompt %q, warnings %q, unused %q", m.Modules.PoolingName(), m.Modules.Normalize, m.Modules.PromptPooling, m.Warnings, m.Unused)
	}
	if m.Graph.Graph.Input("pooling_mask") == nil {
		t.Error("no input pooling_mask")
	}
}

// A plain mean that was asked for is what the written checkpoint means, whose modules.json says no more than the published one's.
func TestPlainMeanIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	for i, pooling := range []string{"mean", ""} {
		from := []string{"../testdata/models/nvembed", dir}[i]
		m, err := convert.Open(from, convert.OpenOptions{Pooling: pooling})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		latents := 0
		for _, v := range m.Graph.Graph.Initializers {
			if strings.HasPrefix(v.Name, "latent_attention_model.") {
				latents++
			}
		}
		if m.Modules.PoolingName() != "mean" || latents > 0 {
			t.Errorf("%s: pooling %q with %d weights of the latents", from, m.Modules.PoolingName(), latents)
		}
		if i == 0 {
			if _, err := convert.Save(context.Background(), dir, m, convert.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		latent, err := convert.Open(dir, convert.OpenOptions{Pooling: "latent"})
		if err != nil {
			t.Fatalf("the head is gone: %v", err)
		}
		defer latent.Close()
		if latent.Modules.PlainMean {
			t.Error("the mean is plain, though the head was asked for")
		}
	}
}

// The mask of padding holds whatever pooling_mask says of it.
func TestPaddingIsNeverPooled(t *testing.T) {
	const dir = "../testdata/models/nvembed"
	e := readExpected(t, dir)
	s := session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{}))
	b := e.batch(t, "right")
	b.pooled = &tokens{b.mask.shape, make([]int64, len(b.mask.data))}
	for i := range b.pooled.data {
		b.pooled.data[i] = 1
	}
	e.near(t, "all ones", run(t, s, b)["sentence_embedding"].data, e.floats(t, "right.sentence_embedding.instr0_norm").data)
}

func TestLatentPoolingOfOthers(t *testing.T) {
	m, err := convert.Open("../testdata/models/mistral", convert.OpenOptions{Pooling: "latent"})
	if err == nil {
		m.Close()
		t.Fatal("no error")
	}
	if want := `pooling "latent": only a checkpoint with attention to latents has it`; !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %s", err, want)
	}
}

// What Save writes of a model that leaves the prompt out of its pooling opens as the same model, from
// the directory and from the ONNX file alone.
func TestSavePromptPooling(t *testing.T) {
	for name, want := range map[string]convert.PromptPooling{"nvembed": convert.PromptLength, "bert": convert.PromptOut} {
		dir := copyModel(t, name)
		if want == convert.PromptOut {
			edit(t, filepath.Join(dir, "1_Pooling", "config.json"), func(m map[string]any) { m["include_prompt"] = false })
		}
		m, err := convert.Open(dir, convert.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		out := filepath.Join(t.TempDir(), "out")
		if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		bare := filepath.Join(t.TempDir(), "bare.onnx")
		raw, err := os.ReadFile(filepath.Join(out, "onnx", "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(bare, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{out, filepath.Join(out, "onnx", "model.onnx"), bare} {
			again, err := convert.Open(path, convert.OpenOptions{ONNX: true})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if again.Modules.PromptPooling != want || again.Modules.PoolingName() != m.Modules.PoolingName() || again.Graph.Graph.Input("pooling_mask") == nil {
				t.Errorf("%s: prompt %q, pooling %s; want %q, %s", path, again.Modules.PromptPooling, again.Modules.PoolingName(), want, m.Modules.PoolingName())
			}
		}
	}
}

// A text longer than the model can read is refused when it is asked for, not cut in silence.
func TestContextTooLong(t *testing.T) {
	for name, most := range map[string]int{"llama": 128, "bert": 64, "llama-rope-dynamic": 24} {
		dir := filepath.Join("../testdata/models", name)
		m, err := convert.Open(dir, convert.OpenOptions{MaxLength: most})
		if err != nil {
			t.Errorf("%s: %d tokens: %v", name, most, err)
			continue
		}
		m.Close()
		_, err = convert.Open(dir, convert.OpenOptions{MaxLength: most + 1})
		want := fmt.Sprintf("texts of %d tokens are asked for: the model takes %d at most", most+1, most)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d tokens: error %v, want one with %q", name, most+1, err, want)
		}
	}
}

// Rotary settings that are not known are refused with their name.
func TestUnknownRope(t *testing.T) {
	dir := copyModel(t, "llama")
	edit(t, filepath.Join(dir, "config.json"), func(m map[string]any) {
		m["rope_parameters"] = map[string]any{"rope_type": "spiral", "rope_theta": 10000.0}
	})
	if _, err := convert.Open(dir, convert.OpenOptions{}); err == nil || !strings.Contains(err.Error(), `rope_type "spiral" is not known; known: `) {
		t.Errorf("error %v", err)
	}
}
