package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graft/convert"
)

// TestDataBehindLink: a model of the hub's cache, whose files are links, runs from a copy where
// ONNX Runtime would have to follow the link to its weights, and as it is where it would not.
func TestDataBehindLink(t *testing.T) {
	built := fixture(t, "bert")
	want := encoded(t, opened(t, "bert", Options{}), probes, EncodeOptions{})
	m, err := convert.Open(filepath.Join("..", "testdata", "models", "bert"), convert.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, external := range []bool{false, true} {
		cache := t.TempDir()
		repo, snapshot := filepath.Join(cache, "models--a--b"), filepath.Join(cache, "models--a--b", "snapshots", "c0ffee")
		blobs := filepath.Join(repo, "blobs")
		if _, err := convert.Save(context.Background(), filepath.Join(repo, "saved"), m, convert.SaveOptions{External: external}); err != nil {
			t.Fatal(err)
		}
		err := errors.Join(os.MkdirAll(snapshot, 0o777), os.Rename(filepath.Join(repo, "saved", "onnx"), blobs))
		for _, name := range []string{"model.onnx", "model.onnx.data"} {
			if _, absent := os.Stat(filepath.Join(blobs, name)); absent == nil {
				err = errors.Join(err, os.Rename(filepath.Join(blobs, name), filepath.Join(blobs, "of-"+name)),
					os.Symlink(filepath.Join("..", "..", "blobs", "of-"+name), filepath.Join(snapshot, name)))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		linked, err := convert.Open(filepath.Join(snapshot, "model.onnx"), convert.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer linked.Close()
		e, err := Open(context.Background(), Model{Path: linked.File, Graph: linked.Graph, Tokenizer: built.Tokenizer, MaxLength: built.MaxLength}, Options{Provider: "cpu"})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if asItIs := e.path == linked.File; linked.File == "" || asItIs == external {
			t.Errorf("external %v: %q runs for %q", external, e.path, linked.File)
		}
		if got := encoded(t, e, probes, EncodeOptions{}); far(got.Data, want.Data) > 1e-5 || slices.Max(got.Data) == 0 {
			t.Errorf("external %v: vectors are off by %g", external, far(got.Data, want.Data))
		}
	}
}
