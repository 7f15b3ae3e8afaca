//go:build golden || interop

package convert_test

import (
	"os"
	"path/filepath"
	"testing"
)

// downloaded is a path below the folder of fetched models, or a skip where it is not there.
func downloaded(t *testing.T, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{os.Getenv("GRAFT_MODELS")}, elem...)...)
	if _, err := os.Stat(path); err != nil || os.Getenv("GRAFT_MODELS") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("missing: %s below GRAFT_MODELS", filepath.Join(elem...))
		}
		t.Skipf("missing: %s below GRAFT_MODELS", filepath.Join(elem...))
	}
	return path
}
