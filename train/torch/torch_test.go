//go:build !lite

package torch

import (
	"os"
	"testing"
)

// Tests run as training does.
func TestMain(m *testing.M) {
	BoundMemory()
	os.Exit(m.Run())
}

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
