package runtime

import (
	"os"
	"testing"

	"graft/runtime/ort"
)

// requireORT ends a test that needs ONNX Runtime where the library is not here: under CI that is a
// failure.
func requireORT(t testing.TB) {
	t.Helper()
	if err := ort.Load("cpu"); err != nil {
		if _, _, _, open := ort.Loaded(); open {
			return // another of its libraries serves as well
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("ONNX Runtime: %v", err)
		}
		t.Skipf("ONNX Runtime: %v", err)
	}
}
