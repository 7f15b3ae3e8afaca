//go:build golden

package pass_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"graft/graph"
	"graft/graph/onnx"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// foreign are encoders that others exported: torch.onnx of transformers, opset 11, with
// decomposed norms, GELU and attention and a mask of −3.4e38.
var foreign = []struct {
	artifact, file string // langchain4j-embeddings-<artifact> of dev.langchain4j
	blocks         int
	quantized      bool // dynamically, to int8
}{
	{"all-minilm-l6-v2", "all-minilm-l6-v2.onnx", 6, false},
	{"bge-small-en-v15", "bge-small-en-v1.5.onnx", 12, false},
	{"all-minilm-l6-v2-q", "all-minilm-l6-v2-q.onnx", 6, true},
	{"bge-small-en-v15-q", "bge-small-en-v1.5-q.onnx", 12, true},
	{"bge-small-zh-v15-q", "bge-small-zh-v1.5-q.onnx", 4, true},
	{"e5-small-v2-q", "e5-small-v2-q.onnx", 12, true},
}

// readForeign reads one of the set-up's downloads.
func readForeign(t *testing.T, artifact, file string) *graph.Model {
	t.Helper()
	dir := os.Getenv("GRAFT_MODELS")
	if dir == "" {
		missing(t, "GRAFT_MODELS is not set")
	}
	path := filepath.Join(dir, "onnx", artifact, file)
	if _, err := os.Stat(path); err != nil {
		missing(t, "%v", err)
	}
	m, err := onnx.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// tokens are ids of three texts, two of them padded.
func tokens() arrays {
	ids := []int64{
		101, 7592, 2088, 2003, 1037, 2204, 2173, 102,
		101, 2054, 2003, 102, 0, 0, 0, 0,
		101, 2009, 102, 0, 0, 0, 0, 0,
	}
	mask, types := make([]int64, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		if id != 0 {
			mask[i] = 1
		}
	}
	return arrays{"input_ids": int64s(ids, 3, 8), "attention_mask": int64s(mask, 3, 8), "token_type_ids": int64s(types, 3, 8)}
}

// TestGoldenForeign raises and lowers real models: what is found, and that the outputs stay.
func TestGoldenForeign(t *testing.T) {
	for _, f := range foreign {
		t.Run(f.artifact, func(t *testing.T) {
			m := readForeign(t, f.artifact, f.file)
			want := run(t, m, ort.OptimizeOff, tokens())
			report, err := pass.Raise(m)
			if err != nil {
				t.Fatal(err)
			}
			for op, n := range map[string]int{"Attention": f.blocks, "Gelu": f.blocks, "LayerNormalization": 2*f.blocks + 1, "mask": 1} {
				if report.Raised[op] != n {
					t.Errorf("%d of %s raised, want %d (left: %v)", report.Raised[op], op, n, report.Left)
				}
			}
			if len(report.Left) > 0 || report.Kept != nil {
				t.Errorf("left: %v, kept: %v", report.Left, report.Kept)
			}
			checkLayers(t, m, f.blocks, 2, 6)
			low := lower(t, m, pass.LowerOptions{})
			for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
				got := realTokens(run(t, low, level, tokens()))
				if !f.quantized {
					agree(t, string(level), got, realTokens(want), 1e-5)
					continue
				}
				// A rounding of activations that falls the other way moves results by a step of their
				// scale: the file itself gives cosine 0.998 (e5) between optimizations off and on.
				if cos := cosine(got, realTokens(want)); cos < 0.997 {
					t.Errorf("optimization %s: cosine %.5f, want 0.997", level, cos)
				}
			}
		})
	}
}

// realTokens keeps of [3, 8, n] what belongs to tokens that are no padding.
func realTokens(out arrays) arrays {
	a := out["last_hidden_state"]
	n := int(a.Shape[2])
	data := a.Data.([]float32)
	var kept []float32
	for text, length := range []int{8, 4, 3} {
		kept = append(kept, data[text*8*n:(text*8+length)*n]...)
	}
	return arrays{"last_hidden_state": floats(kept, 15, int64(n))}
}

// cosine is the smallest cosine of two tokens' vectors.
func cosine(got, want arrays) float64 {
	g, w := got["last_hidden_state"], want["last_hidden_state"]
	n := int(w.Shape[1])
	least := 1.0
	x, y := g.Data.([]float32), w.Data.([]float32)
	for i := 0; i < len(y); i += n {
		var xx, xy, yy float64
		for j := i; j < i+n; j++ {
			xx, xy, yy = xx+float64(x[j])*float64(x[j]), xy+float64(x[j])*float64(y[j]), yy+float64(y[j])*float64(y[j])
		}
		least = min(least, xy/math.Sqrt(xx*yy))
	}
	return least
}
