package safetensors

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func mustOpen(t *testing.T, path string) *Checkpoint {
	t.Helper()
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func readAll(t *testing.T, tensor *Tensor) []byte {
	t.Helper()
	r, err := tensor.Open()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The reference implementation's file: names, types and shapes, and the same
// bytes by every way of reading.
func TestReadMixed(t *testing.T) {
	c := mustOpen(t, "testdata/mixed.safetensors")
	want := map[string]struct {
		dtype string
		shape []int64
	}{
		"encoder.weight":    {F32, []int64{2, 3}},
		"encoder.half":      {F16, []int64{5}},
		"encoder.brain":     {BF16, []int64{3, 1}},
		"wide":              {F64, []int64{1}},
		"position_ids":      {I64, []int64{1, 4}},
		"mask":              {BOOL, []int64{3}},
		"codes":             {I8, []int64{7}},
		"fp8":               {F8E4M3, []int64{4}},
		"scalar":            {I32, []int64{}},
		"empty":             {U8, []int64{0, 3}},
		"schicht/größe <&>": {U16, []int64{2}},
	}
	if len(c.Tensors) != len(want) {
		t.Errorf("%d tensors, want %d", len(c.Tensors), len(want))
	}
	if c.Metadata["format"] != "pt" {
		t.Errorf("metadata %v", c.Metadata)
	}
	text, err := os.ReadFile("testdata/mixed.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, tensor := range c.Tensors {
		w := want[tensor.Name]
		if tensor.DType != w.dtype || !slices.Equal(tensor.Shape, w.shape) {
			t.Errorf("%s: %s %v, want %s %v", tensor.Name, tensor.DType, tensor.Shape, w.dtype, w.shape)
		}
		if c.Tensor(tensor.Name) != tensor {
			t.Errorf("%s: not found by name", tensor.Name)
		}
		data := readAll(t, tensor)
		all = append(all, data...)
		mapped, err := tensor.Bytes()
		if err != nil || !bytes.Equal(mapped, data) {
			t.Errorf("%s: mapped bytes differ (%v)", tensor.Name, err)
		}
		var copied bytes.Buffer
		if n, err := tensor.WriteTo(&copied); err != nil || n != tensor.Size() || !bytes.Equal(copied.Bytes(), data) {
			t.Errorf("%s: WriteTo gave %d bytes, %v", tensor.Name, n, err)
		}
		if err := tensor.Release(); err != nil || !bytes.Equal(mapped, data) {
			t.Errorf("%s: bytes after Release differ (%v)", tensor.Name, err)
		}
	}
	if !bytes.HasSuffix(text, all) || len(text)-len(all) > 1000 {
		t.Error("the tensors' data in order is not the file's data")
	}
	if c.Tensor("none") != nil {
		t.Error("found a tensor that is not there")
	}
}

func TestReadAt(t *testing.T) {
	c := mustOpen(t, "testdata/mixed.safetensors")
	tensor := c.Tensor("codes")
	data := readAll(t, tensor)
	p := make([]byte, 4)
	if _, err := tensor.ReadAt(p, 2); err != nil || !bytes.Equal(p, data[2:6]) {
		t.Errorf("read %v, %v; want %v", p, err, data[2:6])
	}
	if n, err := tensor.ReadAt(p, 5); n != 2 || err != io.EOF {
		t.Errorf("reading beyond the tensor gave %d bytes, %v", n, err)
	}
}

func TestClose(t *testing.T) {
	c := mustOpen(t, "testdata/mixed.safetensors")
	if _, err := c.Tensor("wide").Bytes(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tensor("wide").WriteTo(io.Discard); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("WriteTo after Close: %v", err)
	}
	if _, err := c.Tensor("wide").Bytes(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Bytes after Close: %v", err)
	}
}

func TestFileCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	text, err := os.ReadFile("testdata/mixed.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, path)
	if err := os.Truncate(path, int64(len(text)-2)); err != nil {
		t.Fatal(err)
	}
	last := c.Tensors[len(c.Tensors)-1]
	if last.Size() == 0 {
		t.Fatal("the last tensor is empty")
	}
	if _, err := last.WriteTo(io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("WriteTo of a tensor that is cut: %v", err)
	}
}

func TestOpenSharded(t *testing.T) {
	for _, path := range []string{"testdata/sharded", "testdata/sharded/" + IndexName} {
		c := mustOpen(t, path)
		var names []string
		for _, tensor := range c.Tensors {
			names = append(names, tensor.Name)
		}
		if !slices.Equal(names, []string{"a", "b"}) {
			t.Fatalf("%s: tensors %q", path, names)
		}
		// "b" of the second shard, not what the first holds as "stale".
		shard := mustOpen(t, "testdata/sharded/model-00002-of-00002.safetensors")
		if !bytes.Equal(readAll(t, c.Tensor("b")), readAll(t, shard.Tensor("b"))) {
			t.Error("tensor b is not its shard's")
		}
	}
}

func TestOpenNothing(t *testing.T) {
	_, err := Open(t.TempDir())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), FileName) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), FileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}
