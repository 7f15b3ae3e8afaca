//go:build golden && linux

package convert_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert"
)

// A decoder of 6 GB is exported in less than 1.5 GB of memory. Its weights are the zeros of a
// sparse file but for the first of each, so that no two are equal. It runs in a process of its own, whose memory
// no other test has used.
func TestGoldenLargeExport(t *testing.T) {
	if os.Getenv("CONVERT_TEST_ALONE") == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestGoldenLargeExport$", "-test.v")
		child.Env = append(os.Environ(), "CONVERT_TEST_ALONE=1")
		said, err := child.CombinedOutput()
		if t.Logf("%s", said); err != nil {
			t.Error(err)
		}
		return
	}
	dir := t.TempDir()
	size := largeCheckpoint(t, dir)
	m, err := convert.Open(dir, convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // resets the peak
		t.Skip(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := convert.Save(context.Background(), out, m, convert.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(out, "onnx", "model.onnx.data"))
	if err != nil || info.Size() < size {
		t.Errorf("external data: %v bytes of %d (%v)", info, size, err)
	}
	const most = 1500 << 20
	if peak := peakMemory(t); peak > most {
		t.Errorf("peak memory %d MB, want at most %d", peak>>20, most>>20)
	} else {
		t.Logf("%d MB of weights, peak memory %d MB", size>>20, peak>>20)
	}
}

// largeCheckpoint writes config.json and a sparse model.safetensors and returns the weights' size.
func largeCheckpoint(t *testing.T, dir string) int64 {
	t.Helper()
	const hidden, inner, layers, vocab = 4096, 11008, 7, 32000
	config := fmt.Sprintf(`{"model_type":"llama","hidden_size":%d,"intermediate_size":%d,"num_hidden_layers":%d,"num_attention_heads":32,"vocab_size":%d}`,
		hidden, inner, layers, vocab)
	header, offset := map[string]any{}, int64(0)
	var starts []int64
	add := func(name string, shape ...int64) {
		n := int64(4)
		for _, d := range shape {
			n *= d
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int64{offset, offset + n}}
		starts = append(starts, offset)
		offset += n
	}
	add("embed_tokens.weight", vocab, hidden)
	add("norm.weight", hidden)
	for i := range layers {
		l := fmt.Sprintf("layers.%d.", i)
		add(l+"input_layernorm.weight", hidden)
		add(l+"post_attention_layernorm.weight", hidden)
		for _, name := range []string{"q_proj", "k_proj", "v_proj", "o_proj"} {
			add(l+"self_attn."+name+".weight", hidden, hidden)
		}
		add(l+"mlp.gate_proj.weight", inner, hidden)
		add(l+"mlp.up_proj.weight", inner, hidden)
		add(l+"mlp.down_proj.weight", hidden, inner)
	}
	raw, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	start := append(binary.LittleEndian.AppendUint64(nil, uint64(len(raw))), raw...)
	if err := os.WriteFile(path, start, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(start))+offset); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, at := range starts {
		if _, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(i+1))), int64(len(start))+at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o666); err != nil {
		t.Fatal(err)
	}
	return offset
}

// peakMemory is the largest resident set so far, in bytes.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	t.Fatal("no VmHWM in /proc/self/status")
	return 0
}
