//go:build !lite

package train

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The golden is written by TensorBoard's own writer.
func TestEventWriter(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("..", "testdata", "tensorboard", "events.golden"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w, err := newEventWriter(dir, 3, func() time.Time { return time.UnixMilli(1700000000250) })
	if err != nil {
		t.Fatal(err)
	}
	if err := w.scalars(4, map[string]float64{"train/loss": 1.5, "train/grad_norm": 0.25}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("event files %v, %v", files, err)
	}
	got, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("wrote\n%x\nwant\n%x", got, want)
	}
}

// CRC-32C of 32 zero bytes is 0x8a9136aa (RFC 3720, B.4); rotated right by 15 bits that is 0x6d551522, and 0xa282ead8 comes on top.
func TestMaskedCRC(t *testing.T) {
	if got, want := maskedCRC(make([]byte, 32)), uint32(0x0fd7fffa); got != want {
		t.Errorf("masked checksum %#x, want %#x", got, want)
	}
}
