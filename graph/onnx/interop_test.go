//go:build interop

package onnx

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The reference library loads what is written as the same protobuf messages as the originals,
// and its checker accepts it.
func TestInteropReferenceLibraryReadsTheSame(t *testing.T) {
	python := os.Getenv("GRAFT_PYTHON")
	if python == "" {
		absent(t, "GRAFT_PYTHON is not set: run make interop")
	}
	var originals []string
	for _, dir := range []string{fetched(t, "GRAFT_NATIVE", "onnx-backend"), fetched(t, "GRAFT_MODELS"), shared(t, "fixtures", "quant")} {
		originals = append(originals, models(t, dir)...)
	}
	dir := t.TempDir()
	var list strings.Builder
	for i, path := range originals {
		m, err := Read(path)
		if err != nil {
			t.Error(err)
			continue
		}
		out := filepath.Join(dir, fmt.Sprintf("%d.onnx", i))
		// Every second file has its larger tensors beside it.
		if err := Write(out, m, Options{External: i%2 == 1}); err != nil {
			t.Error(err)
			continue
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&list, "%s\t%s\n", absolute, out)
	}
	pairs := filepath.Join(dir, "list")
	if err := os.WriteFile(pairs, []byte(list.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "../../testdata/onnx/compare.py", pairs).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
