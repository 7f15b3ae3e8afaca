package safetensors

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
)

// image is a file with the given header and n bytes of data.
func image(head string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	return append(append(b, head...), make([]byte, n)...)
}

func parseImage(b []byte) (*header, error) {
	return readHeader(bytes.NewReader(b), int64(len(b)))
}

func TestHeaderErrors(t *testing.T) {
	entry := func(dtype, shape, offsets string) string {
		return `{"w":{"dtype":"` + dtype + `","shape":` + shape + `,"data_offsets":` + offsets + `}}`
	}
	length := func(n uint64) []byte { return append(binary.LittleEndian.AppendUint64(nil, n), "{}"...) }
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "file of 0 bytes is shorter than a header length"},
		{"lfs pointer", []byte("version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"},
		{"header beyond file", length(3), "header length 3 is more than the 2 bytes that follow"},
		{"header beyond limit", length(100_000_001), "above the limit"},
		{"header of 2^64-1", length(1<<64 - 1), "above the limit"},
		{"header too short", length(1), "too short"},
		{"not an object", image(`[]`, 0), `starts with '['`},
		{"truncated json", image(`{"w":`, 0), "unexpected EOF"},
		{"text after", image(`{} x`, 0), "goes on after its JSON object, at byte 11"},
		{"not utf-8", image("{\"\xff\":1}", 0), "not UTF-8"},
		{"value not an object", image(`{"w":1}`, 0), `"w": byte 14: a JSON object is due`},
		{"same name twice", image(`{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), `key "w" comes twice`},
		{"same field twice", image(`{"w":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1), `"w": byte 34: key "dtype" comes twice`},
		{"metadata not text", image(`{"__metadata__":{"a":1}}`, 0), `"__metadata__": "a"`},
		{"no dtype", image(`{"w":{"shape":[1],"data_offsets":[0,1]}}`, 1), `"w": lacks dtype or shape`},
		{"one offset", image(entry("U8", "[1]", "[0]"), 1), `"w": data_offsets are [0]`},
		{"unknown dtype", image(entry("F12", "[1]", "[0,1]"), 1), `tensor "w": at data offset 0: unknown dtype "F12"`},
		{"fraction in shape", image(entry("U8", "[1.5]", "[0,1]"), 1), `"w"`},
		{"negative dimension", image(entry("U8", "[-1]", "[0,1]"), 1), "negative dimension"},
		{"product overflows", image(entry("F32", "[4294967296,4294967296]", "[0,1]"), 1), "overflows"},
		{"product wraps to length", image(entry("U8", "[4611686018427387904,4,1]", "[0,0]"), 0), "overflows"},
		{"half bytes", image(entry("F4", "[3]", "[0,2]"), 2), "does not fill whole bytes"},
		{"length and shape differ", image(entry("F32", "[2]", "[0,4]"), 4), `tensor "w": F32 [2] needs 8 bytes, data_offsets [0, 4] hold 4`},
		{"beyond file", image(entry("F32", "[2]", "[0,8]"), 7), `tensor "w": data_offsets [0, 8] lie outside the file's 7 bytes`},
		{"backwards", image(entry("U8", "[1]", "[1,0]"), 1), "lie outside"},
		{"negative offset", image(entry("U8", "[1]", "[-1,0]"), 1), "lie outside"},
		{"hole", image(entry("U8", "[1]", "[1,2]"), 2), `tensor "w": begins at data offset 1, but the one before it ends at 0`},
		{"overlap", image(`{"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"w":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), `tensor "w": begins at data offset 1, but the one before it ends at 2`},
		{"data left over", image(entry("U8", "[1]", "[0,1]"), 2), "data ends at offset 1, but the file holds 2"},
	} {
		if _, err := parseImage(test.file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

func TestTruncatedAnywhere(t *testing.T) {
	whole, err := os.ReadFile("testdata/mixed.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := parseImage(whole[:n]); err == nil {
			t.Fatalf("a file cut to %d of %d bytes is accepted", n, len(whole))
		}
	}
}

func TestHeaderWithoutTensors(t *testing.T) {
	h, err := parseImage(image(`{"__metadata__":{"format":"pt"}}   `, 0))
	if err != nil || len(h.tensors) != 0 || h.metadata["format"] != "pt" {
		t.Errorf("%+v, %v", h, err)
	}
}

// FuzzHeader checks that no input makes the reader panic and that what it
// accepts lies inside the file, each tensor as long as its shape says.
func FuzzHeader(f *testing.F) {
	mixed, err := os.ReadFile("testdata/mixed.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(mixed)
	f.Add(image(`{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`, 0))
	f.Add(image(`{"w":{"dtype":"U8","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseImage(b)
		if err != nil {
			return
		}
		for _, tensor := range h.tensors {
			size, err := ByteSize(tensor.DType, tensor.Shape)
			if err != nil || size != tensor.Size() || tensor.begin < 8 || tensor.end > int64(len(b)) {
				t.Fatalf("accepted %+v in %d bytes (%v)", tensor, len(b), err)
			}
		}
	})
}
