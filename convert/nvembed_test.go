package convert_test

import (
	"fmt"
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
