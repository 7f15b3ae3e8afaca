package pickle

import (
	"encoding/hex"
	"encoding/json"
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

func readAll(t *testing.T, tensor *Tensor) string {
	t.Helper()
	r, err := tensor.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var written strings.Builder
	if n, err := tensor.WriteTo(&written); err != nil || n != tensor.Size() || written.String() != string(data) {
		t.Errorf("%s: WriteTo gives %d bytes (%v) unlike Open", tensor.Name, n, err)
	}
	return string(data)
}

// Views, shared storages and parameters have numpy's bytes, in every format.
func TestStateDict(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int64{
		"whole": {4, 6}, "transposed": {6, 4}, "cube": {2, 3, 4}, "scalar": {}, "empty": {0, 3}, "expanded": {3, 2}, "parameter": {4, 6},
	}
	dtypes := map[string]string{"half": "F16", "brain": "BF16", "position_ids": "I64"}
	for _, name := range []string{"state.bin", "state_protocol4.bin", "state_deflated.bin", "state_legacy.bin"} {
		c := mustOpen(t, filepath.Join("testdata", name))
		if len(c.Tensors) != len(want) {
			t.Errorf("%s: %d tensors, want %d", name, len(c.Tensors), len(want))
		}
		if c.Tensors[0].Name != "whole" || c.Tensors[len(c.Tensors)-1].Name != "parameter" {
			t.Errorf("%s: tensors are not in the order of the state dict", name)
		}
		for _, tensor := range c.Tensors {
			if got := hex.EncodeToString([]byte(readAll(t, tensor))); got != want[tensor.Name] {
				t.Errorf("%s: %s is %s, want %s", name, tensor.Name, got, want[tensor.Name])
			}
			if shape, ok := shapes[tensor.Name]; ok && !slices.Equal(tensor.Shape, shape) {
				t.Errorf("%s: %s has shape %v, want %v", name, tensor.Name, tensor.Shape, shape)
			}
			dtype := dtypes[tensor.Name]
			if dtype == "" {
				dtype = "F32"
			}
			if tensor.DType != dtype {
				t.Errorf("%s: %s is %s, want %s", name, tensor.Name, tensor.DType, dtype)
			}
			if c.Tensor(tensor.Name) != tensor {
				t.Errorf("%s: %s is not found by name", name, tensor.Name)
			}
		}
	}
}

// What torch.save itself wrote, by its protocols and in both formats.
func TestTorchSave(t *testing.T) {
	want := map[string]struct{ dtype, bytes string }{
		"float16":  {"F16", "cd3ccdc29a45cdc7"},
		"bfloat16": {"BF16", "9a3f5ac0b340fac0"},
		"float32":  {"F32", "9a99993f9a9959c03333b3409a99f9c0"},
		"float64":  {"F64", "333333333333f33f3333333333330bc066666666666616403333333333331fc0"},
		"int8":     {"I8", "01fe03fc"},
		"int16":    {"I16", "0100feff0300fcff"},
		"int32":    {"I32", "01000000feffffff03000000fcffffff"},
		"int64":    {"I64", "0100000000000000feffffffffffffff0300000000000000fcffffffffffffff"},
		"uint8":    {"U8", "010a64ff"},
		"bool":     {"BOOL", "01000100"},
	}
	paths, err := filepath.Glob("testdata/torch/*.pt")
	if err != nil || len(paths) < 2*len(want) {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		object, err := readObject(f)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		tensor, ok := object.(*Tensor)
		if !ok {
			t.Errorf("%s holds a %T", path, object)
			continue
		}
		w := want[strings.Split(filepath.Base(path), "_")[1]]
		if tensor.DType != w.dtype || !slices.Equal(tensor.Shape, []int64{4}) {
			t.Errorf("%s: %s %v, want %s [4]", path, tensor.DType, tensor.Shape, w.dtype)
		}
		if got := hex.EncodeToString([]byte(readAll(t, tensor))); got != w.bytes {
			t.Errorf("%s: bytes %s, want %s", path, got, w.bytes)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "not a dict of tensors") {
			t.Errorf("%s: a bare tensor passes for a state dict: %v", path, err)
		}
	}
}

func TestNestedStateDict(t *testing.T) {
	c := mustOpen(t, "testdata/float8.bin")
	if len(c.Tensors) != 1 || c.Tensors[0].Name != "codes" || c.Tensors[0].DType != "F8_E4M3" || !slices.Equal(c.Tensors[0].Shape, []int64{2, 3}) {
		t.Fatalf("tensors %+v", c.Tensors)
	}
	if got := readAll(t, c.Tensors[0]); got != "\x00\x01\x02\x03\x04\x05" {
		t.Errorf("bytes %q", got)
	}
}

// A pickle that calls anything else is refused by name, and nothing runs.
func TestHostileFilesAreRefused(t *testing.T) {
	for _, name := range []string{"hostile.bin", "hostile_protocol4.bin", "hostile_legacy.bin"} {
		_, err := Open(filepath.Join("testdata", name))
		if err == nil || !strings.Contains(err.Error(), `refuses to call "posix.system"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat("pickle-code-ran"); err == nil {
		t.Error("code of a pickle ran")
	}
}

func TestTruncatedAnywhere(t *testing.T) {
	for _, name := range []string{"state.bin", "state_deflated.bin", "state_legacy.bin"} {
		whole, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), FileName)
		for n := range whole {
			if err := os.WriteFile(path, whole[:n], 0o666); err != nil {
				t.Fatal(err)
			}
			if c, err := Open(path); err == nil {
				c.Close()
				t.Fatalf("%s cut to %d of %d bytes is accepted", name, n, len(whole))
			}
		}
	}
}

// A flipped bit in a record of a zip file fails its checksum.
func TestCorruptRecord(t *testing.T) {
	text, err := os.ReadFile("testdata/state.bin")
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), "archive/data/0") + len("archive/data/0") + 3
	text[at] ^= 1
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, path)
	if _, err := c.Tensor("whole").WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), `tensor "whole": zip: checksum error`) {
		t.Errorf("reading a corrupt record: %v", err)
	}
}

func TestOpenSharded(t *testing.T) {
	for _, path := range []string{"testdata/sharded", "testdata/sharded/" + IndexName} {
		c := mustOpen(t, path)
		if len(c.Tensors) != 2 || c.Tensor("a") == nil || c.Tensor("b") == nil {
			t.Fatalf("%s: %d tensors", path, len(c.Tensors))
		}
		state := mustOpen(t, "testdata/state.bin")
		if readAll(t, c.Tensor("a")) != readAll(t, state.Tensor("row")) || readAll(t, c.Tensor("b")) != readAll(t, state.Tensor("half")) {
			t.Errorf("%s: tensors differ from those that were sharded", path)
		}
	}
}

func TestOpenNothing(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), FileName) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), FileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}
