//go:build golden

package convert_test

import (
	"math"
	"testing"

	"graft/convert"
	"graft/graph/pass"
	"graft/runtime/tokenizer"
)

var goldenTexts = []string{
	"The quick brown fox jumps over the lazy dog.",
	"",
	"Vitamin D deficiency and the risk of respiratory infections in children: a randomized trial.",
}

// vectors are the embeddings of goldenTexts, one text at a time.
func vectors(t *testing.T, m *convert.Model) [][]float32 {
	t.Helper()
	tok, err := tokenizer.FromFile(m.Tokenizer, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if m.Arch != nil && m.File == "" && m.Graph.Opset("") == 23 {
		if err := pass.Lower(m.Graph, pass.LowerOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	s := session(t, encode(t, m))
	var all [][]float32
	for _, text := range goldenTexts {
		e, err := tok.Encode(text, tokenizer.EncodeOptions{MaxLength: 128})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, run(t, s, oneText(e))["sentence_embedding"].data)
	}
	return all
}

// The same model twice: its checkpoint through our graph, and the ONNX file that another tool
// exported (opset 11, decomposed LayerNorm and GELU), pooled by us.
func TestGoldenForeignMiniLM(t *testing.T) {
	checkpoint, err := convert.Open(downloaded(t, "minilm"), convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer checkpoint.Close()
	if m := checkpoint.Modules; m.PoolingName() != "mean" || !m.Normalize || m.MaxLength != 256 || checkpoint.Dim != 384 {
		t.Errorf("MiniLM: modules %+v, %d features", m, checkpoint.Dim)
	}
	foreign, err := convert.Open(downloaded(t, "onnx", "all-minilm-l6-v2", "all-minilm-l6-v2.onnx"), convert.OpenOptions{Pooling: "mean"})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	want, got := vectors(t, checkpoint), vectors(t, foreign)
	for i := range want {
		for j := range want[i] {
			if d := math.Abs(float64(want[i][j] - got[i][j])); !(d <= 2e-6) {
				t.Fatalf("text %d: element %d is %g in the foreign file, %g in ours", i, j, got[i][j], want[i][j])
			}
		}
	}
}

// Other makers' files open and give vectors of length 1.
func TestGoldenForeignEncoders(t *testing.T) {
	for _, test := range []struct {
		dir, file, pooling string
		dim                int
	}{
		{"bge-small-en-v15", "bge-small-en-v1.5.onnx", "cls", 384},
		{"bge-small-zh-v15-q", "bge-small-zh-v1.5-q.onnx", "cls", 512},
		{"e5-small-v2-q", "e5-small-v2-q.onnx", "mean", 384},
	} {
		t.Run(test.dir, func(t *testing.T) {
			m, err := convert.Open(downloaded(t, "onnx", test.dir, test.file), convert.OpenOptions{Pooling: test.pooling})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Modules.MaxLength != 512 {
				t.Errorf("longest text: %d tokens", m.Modules.MaxLength)
			}
			for i, v := range vectors(t, m) {
				var sum float64
				for _, x := range v {
					sum += float64(x) * float64(x)
				}
				if len(v) != test.dim || !(math.Abs(sum-1) < 1e-5) {
					t.Errorf("text %d: %d features of squared length %g", i, len(v), sum)
				}
			}
		})
	}
}
