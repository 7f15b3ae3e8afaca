package gguf_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"graft/convert/gguf"
)

// file writes a GGUF file of version 3 by hand.
type file struct{ bytes.Buffer }

func (f *file) put(values ...any) *file {
	for _, v := range values {
		if s, ok := v.(string); ok {
			binary.Write(f, binary.LittleEndian, uint64(len(s)))
			f.WriteString(s)
			continue
		}
		binary.Write(f, binary.LittleEndian, v)
	}
	return f
}

func header(tensors, values uint64) *file {
	f := &file{}
	f.WriteString("GGUF")
	return f.put(uint32(3), tensors, values)
}

// whole is a file with one value of each type and one tensor of 2 x 2 float32.
func whole() []byte {
	f := header(1, 4)
	f.put("general.architecture", uint32(8), "llama")
	f.put("list", uint32(9), uint32(8), uint64(2), "a", "b")
	f.put("ids", uint32(9), uint32(5), uint64(2), int32(-1), int32(7))
	f.put("eps", uint32(6), float32(0.5))
	f.put("w", uint32(2), uint64(2), uint64(2), uint32(0), uint64(0))
	for f.Len()%32 != 0 {
		f.WriteByte(0)
	}
	f.put(float32(1), float32(2), float32(3), float32(4))
	return f.Bytes()
}

func read(b []byte) (*gguf.File, error) { return gguf.Read(bytes.NewReader(b), int64(len(b))) }

func TestHeader(t *testing.T) {
	f, err := read(whole())
	if err != nil {
		t.Fatal(err)
	}
	name, _ := gguf.Get[string](f, "general.architecture")
	list, _ := gguf.Get[[]string](f, "list")
	ids, _ := gguf.Get[[]int64](f, "ids")
	eps, _ := gguf.Get[float64](f, "eps")
	if name != "llama" || strings.Join(list, "") != "ab" || len(ids) != 2 || ids[0] != -1 || eps != 0.5 {
		t.Errorf("metadata: %q %q %v %g", name, list, ids, eps)
	}
	if _, ok := f.Uint("eps"); ok {
		t.Error("a float was read as an integer")
	}
	if w := f.Tensors[0]; w.Name != "w" || w.Type != "F32" || w.Size() != 16 {
		t.Errorf("tensor %+v", w)
	}
}

func TestReordered(t *testing.T) {
	f, err := read(whole())
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Tensors[0].Reordered(func(row int64) int64 { return 1 - row })
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := w.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	want := (&file{}).put(float32(3), float32(4), float32(1), float32(2))
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("rows in another order: % x, want % x", got.Bytes(), want.Bytes())
	}
	if _, err := f.Tensors[0].Reordered(func(int64) int64 { return 0 }); err == nil {
		t.Error("a row was taken twice without an error")
	}
}

// tensorOf is the start of a file with one tensor of the given entry.
func tensorOf(entry ...any) []byte {
	return header(1, 0).put("blk.0.attn_q.weight").put(entry...).Bytes()
}

func TestMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"empty":            {nil, "not a GGUF file"},
		"another format":   {[]byte("PK\x03\x04 and more"), "not a GGUF file"},
		"old version":      {(&file{}).put([]byte("GGUF"), uint32(1), uint64(0), uint64(0)).Bytes(), "version 1 is not supported"},
		"big-endian":       {[]byte("GGUF\x00\x00\x00\x03"), "big-endian"},
		"tensors claimed":  {header(1<<60, 0).Bytes(), "tensors are more than the file"},
		"values claimed":   {header(0, 1<<60).Bytes(), "metadata values are more than the file"},
		"cut":              {whole()[:140], "header ends early"},
		"text claimed":     {header(0, 1).put(uint64(1<<62), uint64(0), uint64(0)).Bytes(), "bytes of text are more than"},
		"list claimed":     {header(0, 1).put("k", uint32(9), uint32(4), uint64(1<<62)).Bytes(), "list items are more than"},
		"list of lists":    {header(0, 1).put("k", uint32(9), uint32(9), uint64(0)).Bytes(), "list of values of type 9"},
		"unknown value":    {header(0, 1).put("k", uint32(77), uint64(0)).Bytes(), `key "k": byte 33: value type 77`},
		"key twice":        {header(0, 2).put("k", uint32(7), true, "k", uint32(7), true).Bytes(), `key "k" stands there twice`},
		"alignment":        {header(0, 1).put("general.alignment", uint32(4), uint32(0)).Bytes(), "general.alignment is 0"},
		"unsupported type": {tensorOf(uint32(1), uint64(256), uint32(14), uint64(0)), `"blk.0.attn_q.weight": type Q6_K is not supported`},
		"unknown type":     {tensorOf(uint32(1), uint64(256), uint32(99), uint64(0)), `"blk.0.attn_q.weight": type 99 is not supported`},
		"dimensions":       {tensorOf(uint32(9), uint64(1), uint64(1)), "9 dimensions"},
		"shape":            {tensorOf(uint32(2), uint64(1<<40), uint64(1<<40), uint32(0), uint64(0)), "too large"},
		"half a block":     {tensorOf(uint32(1), uint64(33), uint32(2), uint64(0)), "blocks of 32"},
		"offset":           {tensorOf(uint32(1), uint64(32), uint32(2), uint64(8)), "not a multiple of the alignment"},
		"no data":          {whole()[:len(whole())-1], `tensor "w": 16 bytes at offset 0 reach beyond the end`},
	} {
		if _, err := read(test.file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
	if _, err := gguf.Open(filepath.Join(t.TempDir(), "none.gguf")); err == nil {
		t.Error("a file that is not there was opened")
	}
}

// Whatever the bytes are, reading gives an error or tensors of the size that they claim.
func FuzzRead(f *testing.F) {
	f.Add(whole())
	f.Add(tensorOf(uint32(1), uint64(32), uint32(2), uint64(0)))
	if raw, err := os.ReadFile("../../testdata/gguf/blocks.gguf"); err == nil {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := read(raw)
		if err != nil {
			return
		}
		for _, x := range g.Tensors {
			n, err := x.WriteTo(io.Discard)
			if err != nil || n != x.Size() {
				t.Errorf("tensor %q: %d of %d bytes: %v", x.Name, n, x.Size(), err)
			}
		}
	})
}
