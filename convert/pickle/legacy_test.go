package pickle

import (
	"encoding/binary"
	"strings"
	"testing"
)

// legacyOf is a legacy checkpoint with the given object and one storage of 4
// floats under the key 0, whose bytes count from 1.
func legacyOf(object string) string {
	b := []byte("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + "I1001\n." + "(dVlittle_endian\nI01\ns." + object + "(lV0\na.")
	b = binary.LittleEndian.AppendUint64(b, 4)
	for i := range byte(16) {
		b = append(b, i+1)
	}
	return string(b)
}

// legacyTensor is {"w": tensor} over a storage with the given key, number of
// elements and view.
func legacyTensor(key, numel, view, offset, size string) string {
	return dict(rebuild + "((Vstorage\nctorch\nFloatStorage\nV" + key + "\nVcpu\nI" + numel + "\n" + view + "tQ" +
		"I" + offset + "\n(I" + size + "\nt(I1\ntI00\n}tR")
}

// Before torch 0.4 a storage could be a view of another one.
func TestLegacyView(t *testing.T) {
	for _, test := range []struct{ name, view, offset, want string }{
		{"no view", "N", "1", "\x05\x06\x07\x08\x09\x0a\x0b\x0c"},
		{"view", "(V9\nI2\nI2\nt", "0", "\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"},
	} {
		c, err := openBytes(t, []byte(legacyOf(legacyTensor("0", "4", test.view, test.offset, "2"))))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := readAll(t, c.Tensor("w")); got != test.want {
			t.Errorf("%s: bytes %x, want %x", test.name, got, test.want)
		}
	}
}

func TestLegacyErrors(t *testing.T) {
	good := legacyOf(legacyTensor("0", "4", "N", "0", "4"))
	for _, test := range []struct{ name, file, want string }{
		{"version", strings.Replace(good, "I1001", "I1002", 1), "protocol version is 1002"},
		{"big-endian", strings.Replace(good, "endian\nI01", "endian\nI00", 1), "byte order is big"},
		{"unknown key", strings.Replace(good, "(lV0", "(lV1", 1), `storage key "1" is unknown`},
		{"key twice", strings.Replace(good, "(lV0\na", "(lV0\naV0\na", 1), `storage key "0" is unknown or comes twice`},
		{"no key", strings.Replace(good, "(lV0\na", "(l", 1), `storage "0" has no data`},
		{"keys not a list", strings.Replace(good, "(lV0\na", "N", 1), "storage keys are not a list"},
		{"other count", strings.Replace(good, "\x04\x00\x00", "\x05\x00\x00", 1), "5 elements where 4 are due"},
		{"data cut", good[:len(good)-1], "truncated"},
		{"too many elements", legacyOf(legacyTensor("0", "4611686018427387904", "N", "0", "4")), "more than the file holds"},
		{"view outside", legacyOf(legacyTensor("0", "4", "(V9\nI3\nI2\nt", "0", "1")), "view of 2 elements from 3 lies outside its 4"},
		{"tensor outside view", legacyOf(legacyTensor("0", "4", "(V9\nI1\nI2\nt", "0", "3")), "needs more than the storage's 8 bytes"},
		{"malformed view", legacyOf(legacyTensor("0", "4", "(V9\nt", "0", "1")), "malformed view"},
	} {
		if _, err := openBytes(t, []byte(test.file)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}
