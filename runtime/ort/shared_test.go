package ort

import (
	"os"
	"path/filepath"
	"testing"
)

// shared returns a path under the folder of reference data, or skips the test
// (fails it under CI) when it is not here.
func shared(t *testing.T, elem ...string) string {
	t.Helper()
	root := os.Getenv("GRAFT_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	return present(t, filepath.Join(append([]string{root}, elem...)...))
}

func present(t *testing.T, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, "%v", err)
	}
	return path
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("missing: "+format, args...)
	}
	t.Skipf("missing: "+format, args...)
}

// library returns the file of an ONNX Runtime library, or skips.
func library(t *testing.T, name string) string {
	t.Helper()
	l, err := libraryNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	path, err := l.Path()
	if err != nil {
		missing(t, "%v", err)
	}
	return path
}

// process runs the calling test alone in a process of its own, because a
// process opens one ONNX Runtime library. It reports whether the caller is
// that process and must do the work.
func process(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		return true
	}
	runChild(t)
	return false
}
