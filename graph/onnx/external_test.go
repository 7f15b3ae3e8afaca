package onnx

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"graft/graph"
	"graft/graph/onnx/internal/pb"
)

// externalModel writes a model with one float tensor of two elements, described by entries.
func externalModel(t *testing.T, dir string, entries map[string]string) string {
	t.Helper()
	w := &pb.TensorProto{
		Name: proto.String("w"), DataType: proto.Int32(1), Dims: []int64{2},
		DataLocation: pb.TensorProto_EXTERNAL.Enum(),
	}
	for k, v := range entries {
		w.ExternalData = append(w.ExternalData, &pb.StringStringEntryProto{Key: proto.String(k), Value: proto.String(v)})
	}
	b, err := proto.Marshal(&pb.ModelProto{Graph: &pb.GraphProto{Initializer: []*pb.TensorProto{w}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// External data is read from the model's folder alone, and only where the file has it.
func TestExternalData(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "model")
	content := []byte{9, 9, 9, 9, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}
	for name, b := range map[string][]byte{"model/w": content, "model/sub/w": content, "model/short": content[:11], "secret": content, "model/exact": content[4:]} {
		path := filepath.Join(outer, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"inside": "w", "outside": "../secret", "folder": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	digest := sha1.Sum(content)
	sum := hex.EncodeToString(digest[:])
	for _, c := range []struct {
		entries map[string]string
		want    string // "" where the data can be read
	}{
		{map[string]string{"location": "w", "offset": "4", "length": "8"}, ""},
		{map[string]string{"location": "w", "offset": "4"}, ""},
		{map[string]string{"location": "exact"}, ""},
		{map[string]string{"location": "sub/w", "offset": "4", "checksum": sum, "other": "x"}, ""},
		{map[string]string{"location": "./sub/../w", "offset": "4"}, ""},
		{map[string]string{"location": "inside", "offset": "4"}, ""},
		{map[string]string{"location": "w", "offset": "4", "checksum": "00"}, "SHA-1 is " + sum + ", the model says 00"},
		{map[string]string{"location": "short", "offset": "4", "length": "8"}, `offset 4 and length 8, but the file has 11 bytes`},
		{map[string]string{"location": "w", "offset": "9223372036854775807"}, "but the file has 12 bytes"},
		{map[string]string{"location": "w", "offset": "-4"}, `offset "-4" is no number of bytes`},
		{map[string]string{"location": "w", "length": "4"}, "4 bytes of data for FLOAT[2], want 8"},
		{map[string]string{"location": "w", "length": "99999999999999999999"}, "is no number"},
		{map[string]string{"location": "absent"}, `location "absent": no such file`},
		{map[string]string{"offset": "4"}, `location "": not a path inside`},
		{map[string]string{"location": "../secret"}, `location "../secret": not a path inside the model's folder`},
		{map[string]string{"location": "sub/../../secret"}, "not a path inside"},
		{map[string]string{"location": filepath.Join(outer, "secret")}, "not a path inside"},
		{map[string]string{"location": "outside"}, "escapes"},
		{map[string]string{"location": "folder/secret"}, "escapes"},
		{map[string]string{"location": "sub"}, "not a regular file"},
		{map[string]string{"location": "pipe"}, "not a regular file"},
	} {
		m, err := Read(externalModel(t, dir, c.entries))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `initializer[0] "w": external data: `) && !strings.Contains(err.Error(), "of data") {
				t.Errorf("%v: error %v, want %q", c.entries, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.entries, err)
			continue
		}
		if f, err := m.Graph.Initializers[0].Init.Float32s(); err != nil || f[0] != 1 || f[1] != -2 {
			t.Errorf("%v: %v, %v, want [1 -2]", c.entries, f, err)
		}
	}
}

// In the hub's cache the files of a model are links into its folder blobs, and into no other's.
func TestExternalDataInTheHubsCache(t *testing.T) {
	content := []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}
	for _, c := range []struct{ name, snapshot, link, want string }{
		{"a blob of the model", "models--a--b/snapshots/c0ffee/onnx", "../../../blobs/feed", ""},
		{"a snapshot without folders", "models--a--b/snapshots/c0ffee", "../../blobs/feed", ""},
		{"another model's blob", "models--a--b/snapshots/c0ffee/onnx", "../../../../models--x--y/blobs/feed", "escapes"},
		{"outside of blobs", "models--a--b/snapshots/c0ffee/onnx", "../../../secret", "escapes"},
		{"outside of the cache", "models--a--b/snapshots/c0ffee/onnx", "../../../../secret", "escapes"},
		{"through blobs", "models--a--b/snapshots/c0ffee/onnx", "../../../blobs/away", "escapes"},
		{"nothing there", "models--a--b/snapshots/c0ffee/onnx", "../../../blobs/absent", "escapes"},
		{"no model's cache", "other/snapshots/c0ffee/onnx", "../../../blobs/feed", "escapes"},
	} {
		cache := t.TempDir()
		for _, name := range []string{"models--a--b/blobs/feed", "models--x--y/blobs/feed", "models--a--b/secret", "secret", "other/blobs/feed"} {
			path := filepath.Join(cache, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, content, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		dir := filepath.Join(cache, c.snapshot)
		err := errors.Join(os.MkdirAll(dir, 0o777), os.Symlink(c.link, filepath.Join(dir, "model.onnx.data")),
			os.Symlink("../../secret", filepath.Join(cache, "models--a--b/blobs/away")))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Read(externalModel(t, dir, map[string]string{"location": "model.onnx.data"}))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if f, err := m.Graph.Initializers[0].Init.Float32s(); err != nil || f[0] != 1 || f[1] != -2 {
			t.Errorf("%s: %v, %v, want [1 -2]", c.name, f, err)
		}
	}
}

// Tensor data that is still in a file can be read by many at once, and says so when the file shrinks.
func TestFileData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.onnx")
	weights := make([]float32, 1<<20)
	for i := range weights {
		weights[i] = float32(i)
	}
	g := &graph.Graph{}
	g.AddInitializer(graph.NewTensor("w", weights, 1<<20))
	if err := Write(path, &graph.Model{Graph: g}, Options{}); err != nil {
		t.Fatal(err)
	}
	m, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	data := m.Graph.Initializers[0].Init.Data
	if _, ok := data.(*fileData); !ok {
		t.Fatalf("4 MiB of raw_data are read into memory (%T)", data)
	}
	want, err := g.Initializers[0].Init.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			var b bytes.Buffer
			if n, err := data.WriteTo(&b); err != nil || n != data.Size() || !bytes.Equal(b.Bytes(), want) {
				t.Errorf("WriteTo: %d bytes, %v", n, err)
			}
			if got, err := data.Bytes(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("Bytes: %v", err)
			}
		})
	}
	all.Wait()
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := data.WriteTo(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("WriteTo after truncation: %v", err)
	}
	if _, err := m.Graph.Initializers[0].Init.Bytes(); err == nil || !strings.Contains(err.Error(), `tensor "w"`) {
		t.Errorf("Bytes after truncation: %v", err)
	}
}
