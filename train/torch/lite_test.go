//go:build lite

package torch

import (
	"errors"
	"testing"
)

func TestLite(t *testing.T) {
	if _, err := Version(); !errors.Is(err, ErrLite) {
		t.Errorf("Version: %v, want %v", err, ErrLite)
	}
	if err := SelfTest(); !errors.Is(err, ErrLite) {
		t.Errorf("SelfTest: %v, want %v", err, ErrLite)
	}
}
