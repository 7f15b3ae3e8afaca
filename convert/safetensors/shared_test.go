package safetensors

import (
	"os"
	"path/filepath"
	"testing"
)

// sharedFixtures is the folder of tiny reference models, which is not part of
// the repository.
func sharedFixtures(t *testing.T) string {
	t.Helper()
	root, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above the test's folder")
		}
		root = filepath.Dir(root)
	}
	shared := os.Getenv("GRAFT_SHARED")
	if shared == "" {
		shared = filepath.Join(root, "..", "shared")
	}
	dir := filepath.Join(shared, "fixtures", "models")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("reference models are missing: %v", err)
		}
		t.Skipf("reference models are missing: %v", err)
	}
	return dir
}
