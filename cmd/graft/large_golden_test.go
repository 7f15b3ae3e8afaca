//go:build golden && linux

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sevenBillion is Mistral-7B's shape.
var sevenBillion = decoderSize{hidden: 4096, inner: 14336, layers: 32, heads: 32, keyHeads: 8, vocab: 32000}

// A checkpoint of 14 GB is exported and quantized within 3 GB of memory. How long each takes beside copying the checkpoint is
// logged. GRAFT_LARGE is a folder that the checkpoint is kept in from one run to the next.
func TestGoldenLargeExport(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short for its ten minutes and 40 GB of disk: make golden runs it")
	}
	needNative(t)
	work := os.Getenv("GRAFT_LARGE")
	if work == "" {
		work = t.TempDir()
	}
	dir := filepath.Join(work, "checkpoint")
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		needDisk(t, work, 40<<30)
		sevenBillion.write(t, dir)
	}
	start := time.Now()
	size := copied(t, dir, filepath.Join(work, "copy"))
	beside := time.Since(start)
	t.Logf("copy: %.1f GB in %.1f s", float64(size)/1e9, beside.Seconds())
	const most = 3 << 30
	for _, s := range streamed[1:] { // in float32 it would need 29 GB more
		t.Run(s.name, func(t *testing.T) {
			out := filepath.Join(work, s.name)
			defer os.RemoveAll(out)
			start := time.Now()
			peak := peakOf(t, append(s.args, dir, "-o", out)...)
			took := time.Since(start)
			t.Logf("%s: %.1f s, %.2f of the copy's time, peak memory %d MB", s.name, took.Seconds(), took.Seconds()/beside.Seconds(), peak>>20)
			if peak > most {
				t.Errorf("peak memory %d MB, want at most %d", peak>>20, most>>20)
			}
			opens(t, filepath.Join(out, "onnx", "model.onnx"), s.least > 0)
		})
	}
}

// A decoder of a third of a billion weights, in the shape of those of 7 billion, runs in each form.
func TestGoldenMidSizeRuns(t *testing.T) {
	needNative(t)
	runStreamed(t, decoderSize{hidden: 1536, inner: 4096, layers: 12, heads: 12, keyHeads: 4, vocab: 16000}, 300<<20)
}

// needDisk skips a test where the folder's disk lacks room.
func needDisk(t *testing.T, dir string, bytes uint64) {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < bytes {
		t.Skipf("%d GB free in %s, %d are needed", free>>30, dir, bytes>>30)
	}
}

// copied copies the weights, waits for nothing but the system's own writing, removes the copy and returns its size.
func copied(t *testing.T, from, to string) (size int64) {
	t.Helper()
	if err := os.Mkdir(to, 0o777); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(to)
	files, err := filepath.Glob(filepath.Join(from, "*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatal("no weights", err)
	}
	for _, name := range files {
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(to, strings.TrimPrefix(name, from)))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(struct{ io.Writer }{out}, struct{ io.Reader }{in})
		if size += n; err != nil {
			t.Fatal(err)
		}
		in.Close()
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return size
}
