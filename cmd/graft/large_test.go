//go:build linux

package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"graft/convert/safetensors"
	"graft/graph"
	"graft/graph/onnx"
	"graft/runtime/ort"
)

// decoderSize is the shape of a made-up Mistral.
type decoderSize struct{ hidden, inner, layers, heads, keyHeads, vocab int64 }

// tensors are those of the published checkpoints, by their names there, in the order of the model.
func (d decoderSize) tensors() []safetensors.Entry {
	var list []safetensors.Entry
	add := func(name string, shape ...int64) {
		list = append(list, safetensors.Entry{Name: name + ".weight", DType: safetensors.BF16, Shape: shape})
	}
	keys := d.hidden / d.heads * d.keyHeads
	add("model.embed_tokens", d.vocab, d.hidden)
	for i := range d.layers {
		l := fmt.Sprintf("model.layers.%d.", i)
		add(l+"input_layernorm", d.hidden)
		add(l+"self_attn.q_proj", d.hidden, d.hidden)
		add(l+"self_attn.k_proj", keys, d.hidden)
		add(l+"self_attn.v_proj", keys, d.hidden)
		add(l+"self_attn.o_proj", d.hidden, d.hidden)
		add(l+"post_attention_layernorm", d.hidden)
		add(l+"mlp.gate_proj", d.inner, d.hidden)
		add(l+"mlp.up_proj", d.inner, d.hidden)
		add(l+"mlp.down_proj", d.hidden, d.inner)
	}
	add("model.norm", d.hidden)
	add("lm_head", d.vocab, d.hidden)
	return list
}

// write makes a checkpoint in bfloat16 as such are published, in shards with an index, and returns its weights' size.
// Norms are ones, all else is normal with a deviation of 0.02, cut from one block of random numbers at a place of its own.
func (d decoderSize) write(t *testing.T, dir string) (size int64) {
	t.Helper()
	check := func(err error) {
		if t.Helper(); err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(dir, 0o777))
	models := filepath.Join("..", "..", "testdata", "models")
	check(editJSON(filepath.Join(models, "mistral", "config.json"), filepath.Join(dir, "config.json"), map[string]any{
		"hidden_size": d.hidden, "intermediate_size": d.inner, "num_hidden_layers": d.layers, "num_attention_heads": d.heads,
		"num_key_value_heads": d.keyHeads, "head_dim": d.hidden / d.heads, "vocab_size": d.vocab, "sliding_window": nil, "dtype": "bfloat16",
	}))
	tokenizer, err := os.ReadFile(filepath.Join(models, "llama", "tokenizer.json"))
	check(err)
	check(os.WriteFile(filepath.Join(dir, "tokenizer.json"), tokenizer, 0o666))
	random := randomWeights()
	list := d.tensors()
	files := map[string]string{}
	const shards = 3
	for i := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, shards)
		part := list[i*len(list)/shards : (i+1)*len(list)/shards]
		w, err := safetensors.Create(filepath.Join(dir, name), map[string]string{"format": "pt"}, part)
		check(err)
		for _, e := range part {
			files[e.Name] = name
			size += 2 * graph.Count(e.Shape)
			check(w.Tensor(e.Name, func(out io.Writer) error { return writeWeights(out, e, random) }))
		}
		check(w.Commit())
	}
	index, err := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": size}, "weight_map": files})
	check(err)
	check(os.WriteFile(filepath.Join(dir, safetensors.IndexName), index, 0o666))
	return size
}

// randomWeights are bytes of bfloat16, as many as no side of a matrix divides.
func randomWeights() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	block := make([]byte, 0, 2<<20+6)
	for len(block) < cap(block) {
		block = binary.LittleEndian.AppendUint16(block, graph.Float32ToBFloat16(float32(0.02*r.NormFloat64())))
	}
	return block
}

func writeWeights(w io.Writer, e safetensors.Entry, random []byte) error {
	left := 2 * graph.Count(e.Shape)
	if len(e.Shape) == 1 {
		_, err := io.WriteString(w, strings.Repeat("\x80\x3f", int(left/2)))
		return err
	}
	name := fnv.New32()
	io.WriteString(name, e.Name)
	for start := int64(name.Sum32()) % int64(len(random)/2) * 2; left > 0; start = 0 {
		part := random[start:min(int64(len(random)), start+left)]
		if _, err := w.Write(part); err != nil {
			return err
		}
		left -= int64(len(part))
	}
	return nil
}

// peakOf runs graft and returns its largest resident set, in bytes.
func peakOf(t *testing.T, args ...string) int64 {
	t.Helper()
	cmd := exec.Command("graft", args...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("graft %q: %v\n%s", args, err, said)
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// streamed are the ways to make an ONNX file of a checkpoint in the memory of a few of its weights.
var streamed = []struct {
	name  string
	args  []string
	least float64 // cosine of its vectors to those in float32; 0: ONNX Runtime's CPU provider lacks its products
}{
	{"fp32", []string{"export", "--dtype", "fp32", "--verify=false"}, 1},
	{"fp16", []string{"export", "--dtype", "fp16", "--verify=false"}, 0.9999},
	{"bf16", []string{"export", "--dtype", "bf16", "--verify=false"}, 0},
	{"int8-weight", []string{"quantize", "--scheme", "int8-weight", "--measure=false"}, 0.999},
	{"int4-weight", []string{"quantize", "--scheme", "int4-weight", "--measure=false"}, 0.9},
}

// embeddedTexts are the vectors that a model directory gives of three texts.
func embeddedTexts(t *testing.T, dir string) (rows [][]float32) {
	t.Helper()
	cmd := exec.Command("graft", "embed", dir, "--provider", "cpu")
	cmd.Stdin = strings.NewReader("one\nwhat is the capital of France?\nthe quick brown fox jumps over the lazy dog\n")
	said := &strings.Builder{}
	cmd.Stderr = said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("graft %q: %v\n%s", cmd.Args[1:], err, said)
	}
	for line := range strings.Lines(string(out)) {
		var row struct{ Embedding []float32 }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row.Embedding)
	}
	return rows
}

// leastCosine is the least of those between two lists of vectors.
func leastCosine(t *testing.T, a, b [][]float32) float64 {
	t.Helper()
	if len(a) == 0 || len(a) != len(b) {
		t.Fatalf("%d vectors against %d", len(a), len(b))
	}
	least := math.Inf(1)
	for i := range a {
		var ab, aa, bb float64
		for k, x := range a[i] {
			y := float64(b[i][k])
			ab, aa, bb = ab+float64(x)*y, aa+float64(x)*float64(x), bb+y*y
		}
		least = min(least, ab/math.Sqrt(aa*bb))
	}
	return least
}

// runStreamed makes a checkpoint of a size, and from it an ONNX file in each way of streamed: it runs, and its vectors are near
// those in float32. Beside what graft takes for a model of a few kilobytes, memory stays below most and half of the checkpoint.
func runStreamed(t *testing.T, d decoderSize, most int64) {
	dir := t.TempDir()
	size := d.write(t, dir)
	own := peakOf(t, "export", filepath.Join("..", "..", "testdata", "models", "llama"), "-o", filepath.Join(t.TempDir(), "small"), "--verify=false")
	var exact [][]float32
	for _, s := range streamed {
		t.Run(s.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			peak := peakOf(t, append(s.args, dir, "-o", out, "--external-data")...)
			if limit := min(size/2, most); peak-own >= limit {
				t.Errorf("peak memory %d MB, %d for a small model, for %d MB of weights: want less than %d more", peak>>20, own>>20, size>>20, limit>>20)
			}
			t.Logf("%d MB of weights, peak memory %d MB, %d for a small model", size>>20, peak>>20, own>>20)
			if s.least == 0 {
				opens(t, filepath.Join(out, "onnx", "model.onnx"), false)
				return
			}
			vectors := embeddedTexts(t, out)
			if exact == nil {
				exact = vectors
			}
			c := leastCosine(t, vectors, exact)
			if !(c >= s.least-1e-6) {
				t.Errorf("least cosine %.6f to the vectors in float32, want %g", c, s.least)
			}
			t.Logf("least cosine %.6f to the vectors in float32", c)
		})
	}
}

// opens checks that ONNX Runtime takes a file or, where its CPU provider lacks the products, that it is a valid graph.
func opens(t *testing.T, path string, runs bool) {
	t.Helper()
	if !runs {
		m, err := onnx.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := graph.Check(m); err != nil {
			t.Fatal(err)
		}
		return
	}
	s, err := ort.Open(path, nil, ort.Options{Optimization: ort.OptimizeOff, Config: map[string]string{"session.disable_prepacking": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// A model of 135 MB is exported and quantized in little memory, whatever the type, and runs.
func TestLargeModelStreams(t *testing.T) {
	needNative(t)
	runStreamed(t, decoderSize{hidden: 1024, inner: 3584, layers: 4, heads: 16, keyHeads: 4, vocab: 8000}, 200<<20)
}
