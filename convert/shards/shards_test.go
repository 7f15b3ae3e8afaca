package shards

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var names = Names{File: "model.bin", Index: "model.bin.index.json"}

// folder holds files whose texts are the names of the tensors in them.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tensors lists what a checkpoint holds, as "file:tensor".
func tensors(path string) (found []string, err error) {
	err = Open(path, names, func(file string, take func(string) bool) error {
		text, err := os.ReadFile(file)
		for _, name := range strings.Fields(string(text)) {
			if take(name) {
				found = append(found, filepath.Base(file)+":"+name)
			}
		}
		return err
	})
	return found, err
}

func TestOpen(t *testing.T) {
	sharded := map[string]string{"1.bin": "a b extra", "2.bin": "c", "model.bin.index.json": `{"weight_map": {"c": "2.bin", "a": "1.bin", "b": "1.bin"}}`}
	both := map[string]string{"model.bin": "whole", "1.bin": "a", "model.bin.index.json": `{"weight_map": {"a": "1.bin"}}`}
	for _, test := range []struct {
		what  string
		files map[string]string
		path  string // in the folder
		want  []string
	}{
		{"a file", both, "model.bin", []string{"model.bin:whole"}},
		{"a file under another name", map[string]string{"other.bin": "a"}, "other.bin", []string{"other.bin:a"}},
		{"a folder with shards", sharded, "", []string{"1.bin:a", "1.bin:b", "2.bin:c"}},
		{"an index", both, "model.bin.index.json", []string{"1.bin:a"}},
		{"a folder with both", both, "", []string{"model.bin:whole"}},
	} {
		got, err := tensors(filepath.Join(folder(t, test.files), test.path))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %q, %v; want %q", test.what, got, err, test.want)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for _, test := range []struct{ index, want string }{
		{`{"weight_map": {"a": "1.bin", "c": "gone.bin"}}`, `shard "gone.bin", which the index names, is missing`},
		{`{"weight_map": {"a": "1.bin", "c": "1.bin"}}`, `tensor "c" is not in its shard "1.bin"`},
		{`{"weight_map": {"a": "../1.bin"}}`, `tensor "a": shard "../1.bin" lies outside the model's folder`},
		{`{"weight_map": {"a": "/etc/passwd"}}`, `lies outside the model's folder`},
		{`{"weight_map": {}}`, "index has no weight_map"},
		{`{}`, "index has no weight_map"},
		{`{"weight_map": {"a"`, "index: unexpected end of JSON"},
	} {
		_, err := tensors(folder(t, map[string]string{"1.bin": "a", names.Index: test.index}))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("index %s: error %v, want %q", test.index, err, test.want)
		}
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("index %s: the error passes for a missing checkpoint", test.index)
		}
	}
	if _, err := tensors(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), names.File) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := tensors(filepath.Join(t.TempDir(), names.File)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}
