//go:build !lite

package torch

import (
	"runtime"
	"strings"
	"testing"

	"github.com/sugarme/gotch/libtch"
)

func TestVersion(t *testing.T) {
	v, err := Version()
	if err != nil {
		t.Fatal(err)
	}
	if v != "2.11.0" {
		t.Errorf("version %q, the lock file has 2.11.0", v)
	}
}

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
}

// An error of libtorch comes back once, as one line, and leaves the slot empty.
func TestLastError(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a, err := matrix([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer libtch.AtFree(a)

	var product libtch.Ctensor
	libtch.AtgMatmul(&product, a, a)
	err = lastError("matmul")
	if err == nil {
		t.Fatal("matmul of [2 3] and [2 3]: no error")
	}
	for _, want := range []string{"libtorch: matmul: ", "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
	if err := lastError("again"); err != nil {
		t.Errorf("the error came a second time: %v", err)
	}
}
