package evaluate

import (
	"os"
	"path/filepath"
	"testing"
)

// shared returns a path below the folder of large test data: GRAFT_SHARED, or "shared"
// beside the module. Without it the test is skipped, but not under CI.
func shared(t *testing.T, path string) string {
	t.Helper()
	root := os.Getenv("GRAFT_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	path = filepath.Join(root, path)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("test data is missing: %v", err)
		}
		t.Skipf("test data is missing: %v", err)
	}
	return path
}

// write makes a folder of files, named by their paths.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
