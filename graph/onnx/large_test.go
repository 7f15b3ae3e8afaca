//go:build golden

package onnx

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"graft/graph"
)

const (
	largeTensors = 48
	largeBytes   = 128 << 20 // each, 6 GiB in all
	largeMemory  = 1_500_000 // kB
)

// A model of 6 GiB is written, read, changed and written again by a process that never holds
// more than a small part of it.
func TestGoldenLargeModelInLittleMemory(t *testing.T) {
	if dir := os.Getenv("GRAFT_TEST_LARGE_MODEL"); dir != "" {
		rewriteLarge(t, dir)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestGoldenLargeModelInLittleMemory$", "-test.v")
	child.Env = append(os.Environ(), "GRAFT_TEST_LARGE_MODEL="+t.TempDir())
	out, err := child.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func rewriteLarge(t *testing.T, dir string) {
	path := filepath.Join(dir, "model.onnx")
	m := &graph.Model{IRVersion: 8, Opsets: []graph.Opset{{Version: 17}}, Graph: &graph.Graph{Name: "large"}}
	for i := range uint64(largeTensors) {
		m.Graph.AddInitializer(&graph.Tensor{
			Name: fmt.Sprintf("w%d", i), DType: graph.Float, Shape: []int64{largeBytes / 4},
			Data: graph.Derived{Length: largeBytes, Write: func(w io.Writer) error { return pattern(w, i) }},
		})
	}
	if err := Write(path, m, Options{}); err != nil {
		t.Fatal(err)
	}
	peak(t, "exported")
	read, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	// A new name, another order, and over the files that it was read from.
	read.Graph.Initializers[0].Name = "first"
	w := read.Graph.Initializers
	w[0], w[largeTensors-1] = w[largeTensors-1], w[0]
	if err := Write(path, read, Options{}); err != nil {
		t.Fatal(err)
	}
	peak(t, "rewritten")
	again, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range again.Graph.Initializers {
		want := uint64(i)
		switch i {
		case 0:
			want = largeTensors - 1
		case largeTensors - 1:
			want = 0
		}
		c := &checker{t: t, i: want}
		if n, err := v.Init.Data.WriteTo(c); err != nil || n != largeBytes {
			t.Errorf("%q: %d bytes, %v", v.Name, n, err)
		}
	}
	if kb := peak(t, "verified"); kb > largeMemory {
		t.Errorf("peak memory %d kB, want at most %d", kb, largeMemory)
	}
}

// block is 1 MiB of tensor i: counts, so that no two blocks of the model are alike.
func block(i, n uint64) []byte {
	b := make([]byte, 1<<20)
	for at := 0; at < len(b); at += 8 {
		binary.LittleEndian.PutUint64(b[at:], i<<40|n<<20|uint64(at))
	}
	return b
}

func pattern(w io.Writer, i uint64) error {
	for n := range uint64(largeBytes >> 20) {
		if _, err := w.Write(block(i, n)); err != nil {
			return err
		}
	}
	return nil
}

// checker compares what is written to it with tensor i's pattern.
type checker struct {
	t   *testing.T
	i   uint64
	pos uint64
}

func (c *checker) Write(p []byte) (int, error) {
	for at := range p {
		if (c.pos+uint64(at))%8 != 0 || at+8 > len(p) {
			continue
		}
		pos := c.pos + uint64(at)
		if got, want := binary.LittleEndian.Uint64(p[at:]), c.i<<40|(pos>>20)<<20|pos&(1<<20-1); got != want {
			return at, fmt.Errorf("byte %d is of block %x, want %x", pos, got, want)
		}
	}
	c.pos += uint64(len(p))
	return len(p), nil
}

// peak returns the process's largest resident memory so far, in kB.
func peak(t *testing.T, step string) (kb int) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("peak memory is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			t.Logf("%s: peak memory %d kB", step, kb)
			return kb
		}
	}
	t.Skip("/proc/self/status has no VmHWM")
	return 0
}
