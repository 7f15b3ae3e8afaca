package onnx

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/graph"
)

// roundTrip reads path, writes it both ways and compares what is read again.
func roundTrip(t *testing.T, path string) {
	m, err := Read(path)
	if err != nil {
		t.Error(err)
		return
	}
	dir := t.TempDir()
	for name, o := range map[string]Options{"inline.onnx": {}, "external.onnx": {External: true}} {
		out := filepath.Join(dir, name)
		if err := Write(out, m, o); err != nil {
			t.Error(err)
			continue
		}
		again, err := Read(out)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, line := range graph.Diff(m, again) {
			t.Errorf("%s as %s: %s", path, name, line)
		}
		os.Remove(out)
		os.Remove(out + ".data")
	}
}

// models lists the ONNX files below dir.
func models(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(path, ".onnx") {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		absent(t, "%v", err)
	}
	return list
}

// absent skips a test for want of its data, and fails it where nothing may be wanting.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// shared finds the folder of shared fixtures: $GRAFT_SHARED, else ../shared beside the module.
func shared(t *testing.T, elem ...string) string {
	t.Helper()
	dir := os.Getenv("GRAFT_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	return filepath.Join(append([]string{dir}, elem...)...)
}

// fetched finds a folder that the set-up fetches, below the one that the environment variable names.
func fetched(t *testing.T, variable string, elem ...string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		absent(t, "%s is not set: run make setup", variable)
	}
	return filepath.Join(append([]string{dir}, elem...)...)
}

// The backend test data of the reference library: every operator, with attributes of all kinds,
// subgraphs, functions, sequence and optional types.
func TestRoundTripBackend(t *testing.T) {
	list := models(t, fetched(t, "GRAFT_NATIVE", "onnx-backend"))
	if len(list) < 1700 {
		t.Errorf("%d models, want the 1802 of onnx 1.20.1", len(list))
	}
	for _, path := range list {
		roundTrip(t, path)
	}
}

func TestRoundTripQuantized(t *testing.T) {
	list := models(t, shared(t, "fixtures", "quant"))
	if len(list) == 0 {
		t.Error("no models")
	}
	for _, path := range list {
		roundTrip(t, path)
	}
}

func TestRoundTripDownloaded(t *testing.T) {
	for _, path := range models(t, fetched(t, "GRAFT_MODELS")) {
		roundTrip(t, path)
	}
}
